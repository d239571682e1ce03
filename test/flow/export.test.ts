import { type ChildProcess, spawn } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { asc } from 'drizzle-orm'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCheckpoint } from '../../services/platform/checkpoint.ts'
import { type FractalRow, fractal } from '../../services/platform/schema.ts'
import { fileStore } from '../../services/storage/file-store.ts'
import { createRenderPool } from '../../services/worker/render-pool.ts'
import { requested } from '../platform/with-log.ts'
import { type BrokerOptions, withBroker } from '../support/broker.ts'
import { startPostgres } from '../support/database.ts'
import { generatedParams, generateLog } from '../support/generated-log.ts'
import { launcher } from '../support/project.ts'
import { withReadModel } from '../support/read-model.ts'
import { faafo } from '../support/run-cli.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

/** 100000 of them, and a second program, show what the default shows in small: from one broker's version to another. */
const TASKS = Number(process.env.EXPORT_TASKS ?? 300)
const OTHER_PROGRAM = process.env.OTHER_NATS_SERVER_BIN
const KILLS = Number(process.env.EXPORT_KILLS ?? 2)
const SEED = Number(process.env.EXPORT_SEED ?? Math.floor(Math.random() * 2 ** 31))
const random = seededRandom(SEED)
const PATIENT_MS = 600_000 + 30 * TASKS

type Installation = { NATS_URL: string; DATABASE_URL: string; STORAGE_URL: string; imagesDir: string }
type Running = { child: ChildProcess; ended: Promise<number | null> }

function start(args: string[], env: Record<string, string>): Running {
  const { NATS_URL, DATABASE_URL, STORAGE_URL } = env
  const child = spawn(process.execPath, [launcher, ...args], {
    env: { PATH: process.env.PATH ?? '', LOG_LEVEL: 'error', RENDER_THREADS: '1', NATS_URL, DATABASE_URL, STORAGE_URL },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return { child, ended: new Promise((done) => child.once('exit', done)) }
}

/** Gives `use` a broker, a database and a folder for images and, once they are prepared, a projector and a worker. */
const withInstallation = (
  dir: string,
  databaseUrl: string,
  options: BrokerOptions,
  use: (installation: Installation) => Promise<void>,
  prepare: (installation: Installation) => Promise<void> = async () => {},
): Promise<void> =>
  withBroker(async ({ url }) => {
    const imagesDir = join(dir, v4())
    const env = { NATS_URL: url, DATABASE_URL: databaseUrl, STORAGE_URL: `file:${imagesDir}`, imagesDir }
    await prepare(env)
    const services = [start(['projector'], env), start(['worker'], env)]
    try {
      await use(env)
    } finally {
      for (const { child } of services) child.kill('SIGTERM')
      await Promise.all(services.map(({ ended }) => ended))
    }
  }, options)

const onReadModel = ({ NATS_URL, DATABASE_URL }: Installation, use: Parameters<typeof withReadModel>[1]) =>
  withReadModel({ natsUrl: NATS_URL, databaseUrl: DATABASE_URL }, use)

/** The table once it is at the log's end, in the order of creation, without what names sequences. */
async function tableOf(installation: Installation): Promise<object[]> {
  let table: object[] = []
  await onReadModel(installation, async ({ db, log }) => {
    const { lastSeq } = await log.head()
    const isThere = async () => ((await readCheckpoint(db).catch(() => null))?.seq ?? -1) >= lastSeq
    await until(isThere, { what: 'the table is at the end', withinMs: PATIENT_MS, everyMs: 100 })
    const rows = await db.select().from(fractal).orderBy(asc(fractal.firstSeq))
    table = rows.map(({ firstSeq: _, lastSeq: __, ...row }: FractalRow) => row)
  })
  return table
}

async function verified(env: Installation): Promise<void> {
  const { NATS_URL, DATABASE_URL, STORAGE_URL } = env
  const { code, stdout, stderr } = await faafo(['replay', 'verify', '--render', '3', '--output', 'json'], {
    env: { NATS_URL, DATABASE_URL, STORAGE_URL },
  })
  assert.equal([code, JSON.parse(stdout).findings], [0, []], stderr)
}

/** Runs it to its end after it was killed so often, each time as soon as `progress` (0 to 1) is where chance says. */
async function runInSpiteOfKills(args: string[], env: Installation, progress: () => Promise<number>): Promise<void> {
  for (let kill = 0; kill < KILLS; kill++) {
    const running = start(args, env)
    const goal = (await progress()) + random() * (1 - (await progress()))
    let over = false
    void running.ended.then(() => {
      over = true
    })
    await until(async () => over || (await progress()) >= goal, {
      what: 'it has come so far',
      withinMs: PATIENT_MS,
      everyMs: 1,
    })
    running.child.kill('SIGKILL')
    await running.ended
  }
  assert.is(await start(args, env).ended, 0)
}

async function move(from: Installation, to: Installation, dir: string): Promise<void> {
  let events = 0
  await onReadModel(from, async ({ log }) => {
    events = (await log.head()).lastSeq
  })
  const size = async () => (await stat(join(dir, 'events.ndjson')).catch(() => ({ size: 0 }))).size
  await runInSpiteOfKills(['replay', 'export', dir, '--images'], from, async () => (await size()) / (events * 600))
  await onReadModel(to, async ({ log }) => {
    const progress = async () => (await log.head()).lastSeq / events
    await runInSpiteOfKills(['replay', 'import', dir], to, progress)
    assert.is((await log.head()).lastSeq, events)
  })
}

/** A few pictures that all fractals share, for so many would take long to draw. */
async function paint(imagesDir: string) {
  const pool = createRenderPool(1)
  try {
    const images = fileStore(imagesDir)
    const pictures = []
    for (let n = 0; n < 20; n++) {
      const rendering = await pool.render({ uuid: v4(), params: generatedParams }, new AbortController().signal)
      const { key, size } = await images.put(rendering.chunks)
      pictures.push({ checksum: key, imageKey: key, pixelChecksum: rendering.pixelChecksum(), size })
    }
    return pictures
  } finally {
    await pool.close()
  }
}

const said = (what: string) => console.log(`${what}: ${Math.round(performance.now() / 1000)} s`)

test(`${TASKS} tasks go from one broker to another and back, through kills, and every table and image is the same`, () =>
  withTempDir(async (dir) => {
    console.log(`seed ${SEED}`)
    const postgres = await startPostgres(dir)
    const other = OTHER_PROGRAM ? { program: { program: OTHER_PROGRAM, version: '2.15.0' } } : {}
    const databases = [await postgres.newDatabase(), await postgres.newDatabase(), await postgres.newDatabase()]
    const [first = '', second = '', third = ''] = databases
    try {
      const withTarget = (source: Installation) =>
        withInstallation(dir, second, other, async (target) => {
          const table = await tableOf(source)
          assert.is(table.length, TASKS)
          said('generated and projected')
          await move(source, target, join(dir, 'there'))
          said('exported and imported')
          assert.equal(await tableOf(target), table)
          await verified(source)
          await verified(target)
          said('projected and verified')
          await withInstallation(dir, third, {}, async (back) => {
            await move(target, back, join(dir, 'back'))
            assert.equal(await tableOf(back), table)
            await verified(back)
            said('and back')
          })
        })
      await withInstallation(dir, first, {}, withTarget, async ({ NATS_URL, imagesDir }) =>
        generateLog(NATS_URL, 3 * TASKS, await paint(imagesDir)),
      )
    } finally {
      await postgres.stop()
    }
  }))

test('what was pending in the source is rendered in the target once the import is over', () =>
  withTempDir(async (dir) => {
    const postgres = await startPostgres(dir)
    const [first, second] = [await postgres.newDatabase(), await postgres.newDatabase()]
    try {
      await withBroker((broker) =>
        withInstallation(dir, second, {}, async (target) => {
          const source = { ...target, NATS_URL: broker.url, DATABASE_URL: first }
          await onReadModel(source, async ({ log }) => {
            for (let n = 0; n < 5; n++) await log.append(requested())
          })
          const folder = join(dir, 'export')
          assert.is(await start(['replay', 'export', folder], source).ended, 0)
          assert.is(await start(['replay', 'import', folder], target).ended, 0)
          const states = async () => ((await tableOf(target)) as FractalRow[]).map(({ status }) => status)
          await until(async () => (await states()).join() === Array(5).fill('completed').join(), {
            what: async () => `all are completed, now ${await states()}`,
            withinMs: 60_000,
          })
          await verified(target)
        }),
      )
    } finally {
      await postgres.stop()
    }
  }))

test.run()
