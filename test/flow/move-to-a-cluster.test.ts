import { Buffer } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../../services/platform/ports.ts'
import { type FractalRow, fractal } from '../../services/platform/schema.ts'
import { withAdministration } from '../platform/with-log.ts'
import { brokerProgram } from '../support/broker.ts'
import { withCluster } from '../support/cluster.ts'
import { copyEmptyPglite, withPostgres } from '../support/database.ts'
import { launcher } from '../support/project.ts'
import { withReadModel } from '../support/read-model.ts'
import { blocksOfPage, shell } from '../support/shell.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

const PATIENT_MS = 120_000

type Created = { uuid: string; status: string }
const all = async (api: string) => {
  const answer = await fetch(`${api}/v1/fractal?results_per_page=-1`).catch(() => null)
  return answer?.ok ? ((await answer.json()) as { objects: Created[] }).objects : []
}
const pngOf = async (api: string, uuid: string) =>
  Buffer.from(await (await fetch(`${api}/fractal/${uuid}`)).arrayBuffer()).toString('base64')

async function rowsOf(natsUrl: string, databaseUrl: string): Promise<Map<string, FractalRow>> {
  const rows = new Map<string, FractalRow>()
  await withReadModel({ natsUrl, databaseUrl }, async ({ db }) => {
    for (const row of await db.select().from(fractal)) rows.set(row.uuid, row)
  })
  return rows
}

test('the way from one machine to a cluster, and back, is as the page says', () =>
  withTempDir((dir) =>
    withCluster((brokers) =>
      withPostgres(async (postgres) => {
        const ports = [await freePort(), await freePort()]
        const [hidden, open] = ports.map((port) => `http://127.0.0.1:${port}`) as [string, string]
        const natsUrl = brokers.map(({ url }) => url).join(',')
        const at = shell(
          dir,
          {
            ...{
              PATH: process.env.PATH ?? '',
              HOME: process.env.HOME ?? '',
              NODE: process.execPath,
              LAUNCHER: launcher,
            },
            ...{
              NATS_SERVER_BIN: await brokerProgram(),
              PORT: String(ports[1]),
              LOG_LEVEL: 'warn',
              RENDER_THREADS: '1',
            },
          },
          {
            'nats://n1:4222,nats://n2:4222,nats://n3:4222': natsUrl,
            'postgres://faafo:secret@db/faafo': postgres.url,
            '8079': String(ports[0]),
          },
        )
        const page = await blocksOfPage('docs/move-to-a-cluster.md')
        const create = (endpoint: string, more = '') =>
          at.run(`faafo --endpoint-url ${endpoint} create --tasks 3 --width 200 --height 200 ${more}`)
        try {
          // what there is before
          await copyEmptyPglite(join(dir, '.data', 'database'))
          let up = at.start('faafo up')
          await up.says('is ready.')
          await create(open, '--wait')
          const images = new Map<string, string>()
          for (const { uuid } of await all(open)) images.set(uuid, await pngOf(open, uuid))
          assert.is(images.size, 3)

          assert.match(await at.run(page.next('export move --images')), /all is well: [\s\S]* holds \d+ events/)
          await up.end()
          up = at.start(page.next('WORKERS=0'))
          await up.says('is ready.')
          await create(hidden) // a last one, that nobody renders here
          const runtime = JSON.parse(await readFile(join(dir, '.data', 'runtime.json'), 'utf8'))
          await until(async () => (await all(hidden)).length === 6, { what: 'all are in the table' })
          const before = await rowsOf(runtime.natsUrl, runtime.databaseUrl)
          assert.match(await at.run(page.next('export move --images')), /, 3 of them new/)
          await up.end()

          const imported = await at.run(page.next('import move'))
          assert.match(
            imported,
            /\d+ would be appended, 0 were there already[\s\S]* \d+ were appended, 0 were there already/,
          )
          assert.match(imported, /\n3 fractals are without an outcome/)
          const projector = at.start(page.next('faafo projector'))
          await until(async () => (await rowsOf(natsUrl, postgres.url).catch(() => null))?.size === 6, {
            what: 'the table is built',
            withinMs: PATIENT_MS,
          })
          assert.equal(await rowsOf(natsUrl, postgres.url), before)
          assert.match(await at.run(page.next('verify --render 3')), /all is well: .* 3 images, 3 pictures drawn again/)

          const worker = at.start(page.next('faafo worker'))
          const api = at.start(page.next('faafo api'))
          const operator = at.start(page.next('faafo operator'))
          at.start(page.next('faafo subscribers'))
          const completed = async () => (await all(open)).filter(({ status }) => status === 'completed').length
          await until(async () => (await completed()) === 6, {
            what: 'what was pending is rendered',
            withinMs: PATIENT_MS,
          })
          for (const [uuid, png] of images) assert.is(await pngOf(open, uuid), png)
          await withAdministration(natsUrl, async (jsm) => {
            for (const name of ['FRACTAL', 'FAAFO', 'OBJ_images']) {
              assert.is((await jsm.streams.info(name)).config.num_replicas, 3, name)
            }
          })

          await at.run(`faafo --endpoint-url ${open} bulk retry --status failed --wait`) // none, says the operator

          // the way back, with what was made in the cluster
          await create(open, '--wait')
          await Promise.all([worker.end(), api.end(), operator.end()])
          await at.run(page.next('export back --images'))
          const after = await rowsOf(natsUrl, postgres.url)
          await projector.end()
          up = at.start(page.next('unset'))
          await up.says('is ready.')
          assert.match(await at.run(page.next('import back')), /, 0 were skipped[\s\S]*all is well/)
          const { natsUrl: nats, databaseUrl } = JSON.parse(await readFile(join(dir, '.data', 'runtime.json'), 'utf8'))
          await until(async () => (await rowsOf(nats, databaseUrl)).size === 9, { what: 'the old table has them all' })
          assert.equal(await rowsOf(nats, databaseUrl), after)
          assert.equal(page.left(), [])
        } finally {
          await at.endAll()
        }
      }),
    ),
  ))

test.run()
