import { spawn } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import postgres from 'postgres'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient } from '../../services/cli/client.ts'
import { withPostgres } from '../support/database.ts'
import { launcher, root } from '../support/project.ts'
import { blocksOfPage, shell } from '../support/shell.ts'
import { withSystem } from '../support/system.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

const picture = { width: 96, height: 64, iterations: 64, xa: -2, xb: 2, ya: -1.5, yb: 1.5, cx: -0.4, cy: 0.6 }

/** A program of ours that runs until it is told to stop, or dies. */
function start(args: string[], env: Record<string, string>) {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  const gone = new Promise<number | null>((done) => child.once('exit', done))
  return {
    text: () => text,
    end: (signal: 'SIGINT' | 'SIGKILL') => {
      child.kill(signal)
      return gone
    },
  }
}

const linesOf = async (file: string) =>
  (await readFile(file, 'utf8').catch(() => ''))
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))

test('the ways to follow events are as the page says, and its examples do what they say, also where they are killed', () =>
  withTempDir((dir) =>
    withPostgres((database) =>
      withSystem(
        async ({ apiUrl, natsUrl }) => {
          const client = createClient({ endpoint: apiUrl })
          const finish = async (count: number) => {
            const made = await Promise.all(Array.from({ length: count }, () => client.request(picture)))
            for (const { uuid } of made) await client.waitFor(uuid)
            return made.map(({ uuid }) => uuid)
          }
          const env = { NATS_URL: natsUrl, FAAFO_ENDPOINT_URL: apiUrl, READ_MODEL_URL: database.url }
          const at = shell(
            dir,
            { PATH: process.env.PATH ?? '', NODE: process.execPath, LAUNCHER: launcher, ...env },
            { 'http://127.0.0.1:8080': apiUrl },
          )
          const page = await blocksOfPage('docs/follow-events.md')
          const [program = ''] = (await blocksOfPage('docs/follow-events.md', 'ts')).left()
          const example = (name: string, ...args: string[]) =>
            start(['--import', 'tsx', join('examples', `${name}.ts`), ...args], env)
          const running = [
            example('archiver', join(dir, 'archive.ndjson')),
            example('thumbnailer', join(dir, 'thumbnails')),
            example('read-model'),
            start(['--input-type=module', '-e', program], env),
          ]
          try {
            await finish(2)

            const stream = at.start(page.next('after=0'))
            await until(() => stream.text().split('data: ').length > 6, { what: () => stream.text() })
            assert.match(stream.text(), /event: TaskCompleted\nid: 6-[0-9a-f]{8}\ndata: /)
            await stream.end()
            const resumed = at.start(page.next('Last-Event-ID: 3'))
            await resumed.says('event: TaskCompleted')
            assert.not.match(resumed.text(), /TaskRequested"|id: [12]-/)
            await resumed.end()
            const answered = await at.run(page.next('limit=2'))
            const answer = JSON.parse(answered.slice(0, answered.lastIndexOf('}') + 1))
            assert.equal([answer.events.length, answer.at_end], [2, false])

            const file = join(dir, 'events.ndjson')
            const first = at.start(page.next('>events.ndjson'))
            await until(async () => (await linesOf(file)).length === 6, { what: 'the file has what there is' })
            await first.end()
            const later = await finish(1)
            const second = at.start(page.next('>>events.ndjson'))
            await until(async () => (await linesOf(file)).length === 9, { what: 'the file has what came later' })
            await second.end()
            assert.equal(
              (await linesOf(file)).map(({ cursor }) => Number.parseInt(cursor, 10)),
              [1, 2, 3, 4, 5, 6, 7, 8, 9],
            )
            assert.equal(page.left(), [])

            for (const [i, name] of ['archiver', 'thumbnailer', 'read-model'].entries()) {
              await running[i]?.end('SIGKILL')
              const args = { archiver: ['archive.ndjson'], thumbnailer: ['thumbnails'] }[name] ?? []
              running[i] = example(name, ...args.map((arg) => join(dir, arg)))
            }
            await client.remove(later[0] ?? '')
            await finish(2)
            const sql = postgres(database.url, { max: 1 })
            try {
              await until(async () => (await linesOf(join(dir, 'archive.ndjson'))).length === 16, {
                what: 'the archive has every event',
              })
              await until(
                async () =>
                  (await readdir(join(dir, 'thumbnails'))).filter((name) => name.endsWith('.png')).length === 4,
                { what: 'there is a thumbnail of each that is left' },
              )
              await until(async () => (await sql`select finished from worker_work`)[0]?.finished === 5, {
                what: 'the read model counts each once',
              })
            } finally {
              await sql.end()
            }
            const archived = (await linesOf(join(dir, 'archive.ndjson'))).map(({ id }) => id)
            assert.is(new Set(archived).size, 16)
            assert.is(running[3]?.text().trim().split('\n').length, 5)
            for (const one of running.slice(0, 3)) assert.is(await one.end('SIGINT'), 0)
          } finally {
            await at.endAll()
            for (const one of running) await one.end('SIGKILL')
          }
        },
        { env: { RENDER_THREADS: '1', LOG_LEVEL: 'error' } },
      ),
    ),
  ))

test.run()
