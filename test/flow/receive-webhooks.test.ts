import { Buffer } from 'node:buffer'
import { execFile } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { Webhook } from 'standardwebhooks'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient } from '../../services/cli/client.ts'
import { freePort } from '../../services/platform/ports.ts'
import { launcher, root } from '../support/project.ts'
import { blocksOfPage, shell } from '../support/shell.ts'
import { withSystem } from '../support/system.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

const run = promisify(execFile)
const picture = { width: 96, height: 64, iterations: 64, xa: -2, xb: 2, ya: -1.5, yb: 1.5, cx: -0.4, cy: 0.6 }

/** The folder of the program itself: what npm put on the PATH starts it and does not hand signals on. */
async function denoFolder(): Promise<string> {
  const bin = createRequire(import.meta.url).resolve('deno/bin.cjs')
  const { stdout } = await run(process.execPath, [bin, 'eval', 'console.log(Deno.execPath())'])
  return dirname(stdout.trim())
}

const hasPython = () =>
  run('python3', ['--version']).then(
    () => true,
    () => false,
  )

// biome-ignore lint/suspicious/noExplicitAny: events and pings have data of every shape
type Kept = { id: string; event: any }

async function keptIn(file: string): Promise<Kept[]> {
  const text = await readFile(file, 'utf8').catch(() => '')
  const lines = text.split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line))
}

/** Status of the answer to a ping that is signed with `secret`, changed by `change` on its way. */
async function knock(url: string, secret: string, change: (headers: Headers) => string | undefined = () => undefined) {
  const [id, sent, body] = ['knock', new Date(), JSON.stringify({ type: 'Knock' })]
  const headers = new Headers({
    'content-type': 'application/cloudevents+json',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(sent.getTime() / 1_000)),
    'webhook-signature': new Webhook(secret).sign(id, sent, body),
  })
  const other = change(headers)
  const response = await fetch(url, {
    method: 'POST',
    headers,
    body: other ?? body,
    signal: AbortSignal.timeout(60_000),
  })
  await response.body?.cancel()
  return response.status
}

const other = `whsec_${Buffer.from('another secret of 24 byt').toString('base64')}`
const longAgo = Math.floor(Date.now() / 1_000) - 3_600

/** What none of the receivers may take. */
const forgeries: Record<string, (url: string, secret: string) => Promise<number>> = {
  'of another secret': (url) => knock(url, other),
  'of another body': (url, secret) => knock(url, secret, () => '{"type":"Forged"}'),
  'of another id': (url, secret) => knock(url, secret, (headers) => void headers.set('webhook-id', 'other')),
  'of another time': (url, secret) =>
    knock(url, secret, (headers) => void headers.set('webhook-timestamp', String(Math.floor(Date.now() / 1_000) + 1))),
  'that is an hour old': (url, secret) =>
    knock(url, secret, (headers) => {
      headers.set('webhook-timestamp', String(longAgo))
      headers.set('webhook-signature', new Webhook(secret).sign('knock', new Date(longAgo * 1_000), '{"type":"Knock"}'))
      return undefined
    }),
  'without a signature': (url, secret) => knock(url, secret, (headers) => void headers.delete('webhook-signature')),
  'without anything': async (url) =>
    (await fetch(url, { method: 'POST', body: '{}', signal: AbortSignal.timeout(60_000) })).status,
}

test('the page about receiving webhooks does what it says, with each of its receivers', () =>
  withTempDir((dir) =>
    withSystem(
      async ({ apiUrl }) => {
        const client = createClient({ endpoint: apiUrl })
        const receiver = `127.0.0.1:${await freePort()}`
        const url = `http://${receiver}/`
        const path = [await denoFolder(), process.env.PATH ?? ''].join(delimiter)
        const at = shell(
          dir,
          {
            ...{ PATH: path, NODE: process.execPath, LAUNCHER: launcher, HOME: process.env.HOME ?? '' },
            ...{ FAAFO_ENDPOINT_URL: apiUrl, PORT: receiver.split(':')[1] ?? '', DENO_NO_UPDATE_CHECK: '1' },
          },
          {
            'http://127.0.0.1:8080': apiUrl,
            '127.0.0.1:9000': receiver,
            'examples/webhooks/': `${join(root, 'examples', 'webhooks')}/`,
            // What is below /dev, where tests write, Deno gives only to those who may do everything.
            ...(dir.startsWith('/dev/') && { '--allow-net --allow-env --allow-read --allow-write': '--allow-all' }),
          },
        )
        const page = await blocksOfPage('docs/receive-webhooks.md')
        const [program = ''] = (await blocksOfPage('docs/receive-webhooks.md', 'ts')).left()
        const secretIn = async (file: string) => JSON.parse(await readFile(join(dir, file), 'utf8')).secret as string
        try {
          await at.run(page.next('webhook create'))
          const { id } = JSON.parse(await readFile(join(dir, 'webhook.json'), 'utf8'))
          let secret = await secretIn('webhook.json')
          const overHttp = JSON.parse(/\{.*\}/s.exec(await at.run(page.next('TaskDeleted')))?.[0] ?? '')
          assert.equal([overHttp.types, overHttp.secret], [['TaskDeleted'], 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'])

          const start = {
            node: page.next('node examples/'),
            python: page.next('python3 examples/'),
            deno: page.next('deno run'),
          }
          const fileOf = (name: string) => join(dir, `received-${name}.ndjson`)
          const ping = page.next('webhook ping')
          const createOne = page.next('faafo create')
          const wrong = page.next('refused.txt')

          /** Runs a receiver, and all that the page says of trying it; `during` while it is there. */
          async function receive(name: keyof typeof start, during = async () => {}) {
            const terminal = at.start(start[name])
            await terminal.says(`listening on ${url.slice(0, -1)}`)
            const kept = async (type: string) => (await keptIn(fileOf(name))).filter(({ event }) => event.type === type)
            assert.match(await at.run(ping), /\| outcome +\| delivered +\|/)
            assert.is((await kept('Ping')).length, 1)
            await at.run(createOne)
            await until(async () => (await kept('TaskCompleted')).length > 0, {
              what: () => `${name} has a fractal: ${terminal.text()}`,
            })
            const [first] = await kept('TaskCompleted')
            assert.equal([first?.event.id, first?.event.specversion], [first?.id, '1.0'])
            assert.is((await client.get(first?.event.subject)).checksum, first?.event.data.checksum)
            assert.match(await at.run(wrong), /^401\n$/)
            for (const [what, forge] of Object.entries(forgeries)) {
              assert.is(await forge(url, secret), 401, `${name} refuses one ${what}`)
            }
            const types = new Set((await keptIn(fileOf(name))).map(({ event }) => event.type))
            assert.equal(types, new Set(['Ping', 'TaskCompleted']))
            for (const _ of [1, 2]) assert.is(await knock(url, secret), 204)
            assert.is((await kept('Knock')).length, 1, `${name} takes each id once`)
            await terminal.end()
            const again = at.start(start[name])
            await again.says('listening on')
            assert.is(await knock(url, secret), 204)
            assert.is((await kept('Knock')).length, 1, `${name} knows what it had`)
            await during()
            await again.end()
          }

          const attempts = page.next('webhook attempts')
          const parked = page.next('webhook parked')
          const pause = page.next('webhook pause')
          const rotate = page.next('rotate-secret')
          await receive('node', async () => {
            const told = /TaskCompleted +\| 1 +\| delivered +\| 204/
            await until(async () => told.test(await at.run(attempts)), {
              what: 'the attempts tell of it',
              everyMs: 500,
            })
            await at.run(parked)
            assert.match(await at.run(pause), /\| state +\| active +\|/)
            // Rotated while it knows only the one before: both sign.
            await at.run(rotate)
            assert.match(await at.run(ping), /\| outcome +\| delivered +\|/)
          })
          secret = await secretIn('rotated.json')
          assert.is.not(secret, await secretIn('webhook.json'))

          // Nobody is there, and then somebody is.
          const missed = await client.request(picture)
          await client.waitFor(missed.uuid, { signal: AbortSignal.timeout(60_000) })
          const isThere = (name: keyof typeof start) => () =>
            until(async () => (await keptIn(fileOf(name))).some(({ event }) => event.subject === missed.uuid), {
              what: 'what was missed comes again',
              withinMs: 60_000,
            })
          if (await hasPython()) {
            await receive('python', isThere('python'))
            await receive('deno')
          } else {
            console.log('python3 is not on the PATH: its receiver was not tried')
            await receive('deno', isThere('deno'))
          }

          const terminal = at.start(start.deno)
          await terminal.says('listening on')
          const delivered = await keptIn(fileOf('deno'))
          await terminal.end()
          await rm(fileOf('deno'))
          const forgetful = at.start(start.deno)
          await forgetful.says('listening on')
          await at.run(page.next('webhook replay'))
          const { num_results: finished } = await client.list()
          await until(async () => (await keptIn(fileOf('deno'))).length === finished, {
            what: async () => `everything comes once more: ${JSON.stringify(await keptIn(fileOf('deno')))}`,
          })
          const replayed = await keptIn(fileOf('deno'))
          assert.ok(replayed.some(({ event }) => event.subject === missed.uuid))
          const real = delivered.filter(({ event }) => event.type === 'TaskCompleted')
          for (const { id } of real)
            assert.ok(
              replayed.some((one) => one.id === id),
              'with the same ids',
            )
          await forgetful.end()

          const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program], {
            cwd: root,
            env: { PATH: path, FAAFO_ENDPOINT_URL: apiUrl },
          })
          assert.match(stdout, `${id} ${url} active `)
          assert.match(await at.run(page.next('webhook delete')), `deleted ${id}\n`)
          assert.equal(page.left(), [])
        } finally {
          await at.endAll()
        }
      },
      { env: { RENDER_THREADS: '1', LOG_LEVEL: 'error', WEBHOOK_TARGETS: '127.0.0.1' } },
    ),
  ))

test.run()
