import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../../services/platform/ports.ts'
import { withBroker } from '../support/broker.ts'
import { withPostgres } from '../support/database.ts'
import { launcher } from '../support/project.ts'
import { withReadModel } from '../support/read-model.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

type Service = { pid: number; kill(): void; end(): Promise<void> }

/** One `faafo <name>` in a folder of its own, which knows nothing but the environment that it is given. */
function start(name: string, cwd: string, env: Record<string, string>): Service {
  const child = spawn(process.execPath, [launcher, name], {
    cwd,
    env: { PATH: process.env.PATH ?? '', LOG_LEVEL: 'error', DATA_DIR: join(cwd, '.data'), ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const ended = new Promise<void>((done) => child.once('exit', () => done()))
  return {
    pid: child.pid ?? 0,
    kill: () => void child.kill('SIGKILL'),
    async end() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

const post = (apiUrl: string, body: unknown) =>
  fetch(apiUrl, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

test('spread over machines: two apis, a projector and a standby, three workers that share the broker alone', () =>
  withBroker((broker) =>
    withPostgres((database) =>
      withTempDir(async (folder) => {
        const NATS_URL = broker.url
        const DATABASE_URL = database.url
        const STORAGE_URL = 'nats-object:images'
        const history = async (uuid: string) => {
          let text = ''
          await withReadModel({ natsUrl: NATS_URL, databaseUrl: DATABASE_URL }, async ({ log }) => {
            text = JSON.stringify(await log.history(uuid))
          })
          return text
        }
        const ports = [await freePort(), await freePort()]
        const running: Service[] = []
        const run = (name: string, env: Record<string, string>) => {
          const own = join(folder, `${name}-${running.length}`)
          mkdirSync(own)
          const service = start(name, own, env)
          running.push(service)
          return service
        }
        try {
          for (const port of ports) run('api', { NATS_URL, DATABASE_URL, STORAGE_URL, PORT: String(port) })
          const workers = ['red', 'green', 'blue'].map((name) =>
            run('worker', { NATS_URL, STORAGE_URL, WORKER_NAME: name, RENDER_THREADS: '1' }),
          )
          const projector = run('projector', { NATS_URL, DATABASE_URL })
          const [one, other] = ports.map((port) => `http://127.0.0.1:${port}`)
          for (const url of [one, other]) {
            await until(async () => (await fetch(`${url}/readyz`).catch(() => null))?.ok ?? false, {
              what: `${url} is ready`,
            })
          }
          const standby = run('projector', { NATS_URL, DATABASE_URL })
          await until(async () => (await status(one)).workers.length === 3, { what: 'all three workers are seen' })

          // work enough for all: what is asked of one api is read from the other, with the write's cursor
          const picture = {
            width: 700,
            height: 700,
            iterations: 400,
            xa: -2,
            xb: 2,
            ya: -1.5,
            yb: 1.5,
            cx: -0.4,
            cy: 0.6,
          }
          const batch = await post(
            `${one}/v1/batch`,
            Array.from({ length: 60 }, () => picture),
          )
          assert.is(batch.status, 200, await batch.clone().text())
          const finished = () => completed(other)
          await until(async () => (await finished()).length === 60, { what: 'all are completed', withinMs: 120_000 })
          assert.equal([...new Set((await finished()).map((f) => f.generated_by))].sort(), ['blue', 'green', 'red'])

          // a worker killed in mid-render
          const long = await post(`${one}/v1/fractal`, {
            ...{ ...picture, width: 2400, height: 2400, iterations: 1500 },
            ...{ xa: -0.3, xb: 0.3, ya: -0.3, yb: 0.3, cx: 0.25, cy: 0 },
          })
          const { uuid } = (await long.json()) as { uuid: string }
          let busy: string | undefined
          await until(
            async () => {
              busy = (await status(one)).workers.find((w) => w.tasks.includes(uuid))?.name
              return busy !== undefined
            },
            { what: 'a worker has it' },
          )
          workers[['red', 'green', 'blue'].indexOf(busy ?? '')]?.kill()
          await until(async () => (await finished()).some((f) => f.uuid === uuid), {
            what: async () => `another worker than ${busy} finishes it: ${await history(uuid)}`,
            withinMs: 240_000,
          })
          const mended = (await finished()).find((f) => f.uuid === uuid)
          assert.is.not(mended?.generated_by, busy)

          // the projector killed: the standby takes over
          projector.kill()
          const last = await post(`${other}/v1/fractal`, { ...picture, width: 64, height: 64 })
          const { uuid: seen } = (await last.json()) as { uuid: string }
          await until(async () => (await finished()).some((f) => f.uuid === seen), { what: 'the standby projects it' })
          assert.ok(standby.pid > 0)
        } finally {
          await Promise.all(running.map((service) => service.end()))
        }
      }),
    ),
  ))

type Status = { workers: { name: string; tasks: string[] }[] }
const status = async (apiUrl: string | undefined) => (await (await fetch(`${apiUrl}/v1/status`)).json()) as Status

async function completed(apiUrl: string | undefined): Promise<{ uuid: string; generated_by: string }[]> {
  const q = encodeURIComponent(JSON.stringify({ filters: [{ name: 'status', op: 'eq', val: 'completed' }] }))
  const answer = await fetch(`${apiUrl}/v1/fractal?results_per_page=-1&q=${q}`)
  return ((await answer.json()) as { objects: { uuid: string; generated_by: string }[] }).objects
}

test.run()
