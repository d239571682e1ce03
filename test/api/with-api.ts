import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Hono } from 'hono'
import { pino } from 'pino'
import type { NewEvent, RecordedEvent } from '../../events/events.ts'
import { createApi } from '../../services/api/app.ts'
import { followLive, type Live } from '../../services/api/live.ts'
import { createMetrics } from '../../services/api/metrics.ts'
import type { FractalObject } from '../../services/api/schemas.ts'
import { type Broker, openBroker } from '../../services/platform/broker.ts'
import { type Db, openDatabase } from '../../services/platform/database.ts'
import { identify } from '../../services/platform/identity.ts'
import { createLog, type Log } from '../../services/platform/log.ts'
import { createLogger, type Logger } from '../../services/platform/logger.ts'
import { migrateDatabase } from '../../services/platform/migrate.ts'
import { runProjector } from '../../services/projector/projector.ts'
import { fileStore } from '../../services/storage/file-store.ts'
import type { ImageStore } from '../../services/storage/image-store.ts'
import { type BrokerOptions, type Broker as BrokerServer, withBroker } from '../support/broker.ts'
import { type Database, withPostgres } from '../support/database.ts'
import { root } from '../support/project.ts'
import { brokerConfigOf } from '../support/read-model.ts'
import { withTempDir } from '../support/temp.ts'

export const params = { width: 64, height: 48, iterations: 64, xa: -2, xb: 2, ya: -1.5, yb: 1.5 }
export const withConstant = { ...params, cx: -0.8, cy: 0.156 }
export const unknownUuid = '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11'

export type Parts = {
  app: Hono
  broker: Broker
  log: Log
  db: Db
  live: Live
  images: ImageStore
  imagesDir: string
  logger: Logger
  server: BrokerServer
  /** undefined where the database is away. */
  database: Database | undefined
  /** A further api over the same parts. */
  another(options?: Partial<Parameters<typeof createApi>[0]>): Hono
}

type Options = {
  /** `away`: a database that was never there, for what must not need one. */
  database?: (<T>(use: (database: Database) => Promise<T>) => Promise<T>) | 'away'
  /** Whether a projector keeps the tables up to date; true where there is a database. */
  projector?: boolean
  broker?: BrokerOptions
  api?: Partial<Parameters<typeof createApi>[0]>
}

/** Gives `use` an api in this process with a broker, a database, a projector and an image folder of its own. */
export const withApi = (use: (parts: Parts) => Promise<void>, options: Options = {}): Promise<void> =>
  withTempDir((imagesDir) =>
    withBroker((server) => {
      const run = (database?: Database) => runApi(use, { server, database, imagesDir }, options)
      if (options.database === 'away') return run()
      return (options.database ?? withPostgres)((database) => run(database))
    }, options.broker),
  )

/** The same without a database: what only writes needs none. */
export const withWrites = (use: (parts: Parts) => Promise<void>): Promise<void> => withApi(use, { database: 'away' })

async function runApi(
  use: (parts: Parts) => Promise<void>,
  { server, database, imagesDir }: { server: BrokerServer; database: Database | undefined; imagesDir: string },
  { projector = true, api = {} }: Options,
): Promise<void> {
  const logger = createLogger('test', { logLevel: 'silent', logFormat: 'json' })
  const broker = openBroker(brokerConfigOf(server.url), 'test', logger)
  const { db, close } = openDatabase(database?.url ?? 'postgres://postgres@127.0.0.1:1/none', { max: 4, name: 'test' })
  const log = createLog(broker)
  const images = fileStore(imagesDir)
  const live = followLive(broker)
  const stop = new AbortController()
  let projecting = Promise.resolve()
  const another: Parts['another'] = (more = {}) =>
    createApi({
      ...{ broker, log, db, images, live, logger, host: '127.0.0.1', source: '/api/test', computeBudget: 1e12 },
      ...{
        syncInterval: '2m',
        stopping: stop.signal,
        random: Math.random,
        metrics: createMetrics({ ofProcess: false }),
      },
      ...api,
      ...more,
    })
  try {
    await broker.ready
    if (database) await migrateDatabase(db)
    if (database && projector) projecting = runProjector({ db, broker, log, logger }, stop.signal)
    await use({ app: another(), another, broker, log, db, live, images, imagesDir, logger, server, database })
  } finally {
    stop.abort()
    await broker.close()
    await projecting
    await close()
  }
}

/** A log of every level, kept as objects. */
export function keptLog() {
  let text = ''
  const logger: Logger = pino(
    { level: 'trace' },
    {
      write(line) {
        text += line
      },
    },
  )
  // biome-ignore lint/suspicious/noExplicitAny: lines have fields of every shape
  const lines = (): any[] =>
    text
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
  return { logger, lines }
}

/** A request with a JSON body. */
export const post = (app: Hono, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  Promise.resolve(
    app.request(path, {
      method: 'POST',
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    }),
  )

export async function create(app: Hono, body: Record<string, unknown> = params): Promise<FractalObject> {
  const response = await post(app, '/v1/fractal', body)
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`)
  return json(response)
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
export const json = async (response: Response | Promise<Response>): Promise<any> => (await response).json()

/** Appends as the services do; throws where the slot was taken. */
export async function record({ log }: Pick<Parts, 'log'>, event: NewEvent): Promise<RecordedEvent> {
  const { won, event: recorded } = await log.append(identify(event, '/test'))
  if (!won) throw new Error(`${event.type} lost its slot`)
  return recorded
}

export const start = (parts: Pick<Parts, 'log'>, fractal: string, generation = 1) =>
  record(parts, { type: 'TaskStarted', fractal, data: { generation, entry: 1, worker: 'w1', isolated: false } })

/** Stores an image and appends the outcome that names it, as a worker does. */
export async function complete(parts: Pick<Parts, 'log' | 'images'>, fractal: string, png = smallPng, generation = 1) {
  const { key, size } = await parts.images.put([png])
  const data = {
    ...{ generation, checksum: key, pixelChecksum: 'b'.repeat(64), size, duration: 1.25, generatedBy: 'w1' },
    ...{ started: 1, imageKey: key, kernelVersion: 'test' },
  }
  return record(parts, { type: 'TaskCompleted', fractal, data })
}

export const fail = (parts: Pick<Parts, 'log'>, fractal: string, generation = 1) =>
  record(parts, {
    type: 'TaskFailed',
    fractal,
    data: { generation, error: { code: 'render-failed', message: 'it did not work' }, attempts: 5 },
  })

/** Any file of some kilobytes that is a PNG. */
export const smallPng = new Uint8Array(await readFile(join(root, 'node_modules/swagger-ui-dist/favicon-32x32.png')))
