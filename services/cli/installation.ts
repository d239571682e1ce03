import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { type Broker, openBroker } from '../platform/broker.ts'
import { type Config, parseConfig, withoutPassword } from '../platform/config.ts'
import { type Db, openDatabase, rootCause } from '../platform/database.ts'
import { createLog, type Log } from '../platform/log.ts'
import { createLogger, type Logger } from '../platform/logger.ts'
import { pause } from '../platform/shutdown.ts'
import type { ImageStore } from '../storage/image-store.ts'
import { openStore } from '../storage/open-store.ts'
import { readRuntime } from '../up/data-dir.ts'
import { createProgressReport, type ProgressReport } from './progress-report.ts'
import type { Session, Surroundings } from './session.ts'

/** Broker and database throw `invalid-config` where nothing says them; images have a default. */
export type Installation = {
  config: Config
  brokerUrl(): string
  databaseUrl(): string
  storageUrl: string
  /** What is said of the broker's fsync. */
  syncInterval: string | undefined
  /** Whether it is one that runs on this machine's data folder. */
  isHere: boolean
}

/**
 * What an operator's command works on: NATS_URL, DATABASE_URL and STORAGE_URL or, where they are not set, what a running
 * `faafo up` recorded in the data folder. Throws `invalid-config`.
 */
export async function findInstallation(env: Surroundings['env']): Promise<Installation> {
  const config = parseConfig(env)
  const runtime = await readRuntime(config.dataDir)
  const required = (name: string, url: string | undefined): string => {
    if (url !== undefined) return url
    throw new FaafoError(
      'invalid-config',
      `cannot tell which installation is meant: set ${name}, or DATA_DIR to the data folder of a faafo up that runs (nothing runs on ${config.dataDir})`,
    )
  }
  return {
    config,
    brokerUrl: () => required('NATS_URL', config.broker.url ?? runtime?.natsUrl),
    databaseUrl: () => required('DATABASE_URL', config.databaseUrl ?? runtime?.databaseUrl),
    storageUrl: (env.STORAGE_URL ? undefined : runtime?.storageUrl) ?? config.storageUrl,
    syncInterval: config.broker.syncInterval ?? (config.broker.url ? undefined : runtime?.syncInterval),
    isHere: runtime !== null,
  }
}

/** How long a broker may take to answer. */
const BROKER_MS = 5_000

export type LogParts = { broker: Broker; log: Log; logger: Logger }

/**
 * The log, to be read: nothing at the broker is made or changed, unless it is said not to be `readOnly`. Throws
 * `unreachable` where that does not answer.
 */
export async function withLog<T>(
  { config, brokerUrl }: Installation,
  signal: AbortSignal,
  use: (parts: LogParts) => Promise<T>,
  { readOnly = true } = {},
): Promise<T> {
  const url = brokerUrl()
  const logger = createLogger('replay', { logLevel: 'warn', logFormat: config.logFormat })
  const broker = openBroker({ ...config.broker, url }, 'faafo replay', logger, { readOnly })
  const done = new AbortController()
  try {
    const late = pause(BROKER_MS, AbortSignal.any([signal, done.signal])).then(() => null)
    if ((await Promise.race([broker.ready, late])) === null) {
      throw new FaafoError('unreachable', `cannot read the log: no broker answers at ${withoutPassword(url)}`)
    }
    return await use({ broker, log: createLog(broker), logger })
  } finally {
    done.abort()
    await broker.close()
  }
}

/** An operator sees for himself how long it takes: the comparison of a large table is one statement. */
const LONGEST_STATEMENT_MS = 3_600_000

/** Throws `unreachable` where the database is away. */
export async function withDatabase<T>(
  { databaseUrl }: Installation,
  name: string,
  use: (db: Db) => Promise<T>,
): Promise<T> {
  const url = databaseUrl()
  const database = openDatabase(url, { max: 2, name: `faafo ${name}`, mostSilenceMs: LONGEST_STATEMENT_MS })
  try {
    return await use(database.db)
  } catch (error) {
    if (!isFaafoError(error)) throw rootCause(error) // the driver's own quotes the whole statement
    if (error.code !== 'database-unavailable') throw error
    const cause = rootCause(error)
    const answered = cause instanceof Error && 'code' in cause && /^[0-9A-Z]{5}$/.test(String(cause.code))
    const reason = answered ? cause.message : `no database answers at ${withoutPassword(url)}`
    throw new FaafoError('unreachable', `${error.message.split(':')[0]}: ${reason}`, { cause: error })
  } finally {
    await database.close()
  }
}

type OperatorParts = LogParts & { db: Db; installation: Installation; report: ProgressReport; signal: AbortSignal }

/** Gives `act` the log and the tables, and a report on standard error of how far `work` has come. */
export async function onInstallation<T>(
  { env, stderr, signal }: Pick<Session, 'env' | 'stderr' | 'signal'>,
  work: string,
  act: (parts: OperatorParts) => Promise<T>,
): Promise<T> {
  const installation = await findInstallation(env)
  const report = createProgressReport(stderr, env.TERM, work)
  try {
    return await withDatabase(installation, 'replay', (db) =>
      withLog(installation, signal, (parts) => act({ ...parts, db, installation, report, signal })),
    )
  } finally {
    report.stop()
  }
}

type CopyParts = LogParts & { images: ImageStore; report: ProgressReport }

/** Gives `act` the log and the images, and a report on standard error of how far `work` has come. */
export async function onLog<T>(
  { env, stderr, signal }: Pick<Session, 'env' | 'stderr' | 'signal'>,
  work: string,
  { readOnly }: { readOnly: boolean },
  act: (parts: CopyParts) => Promise<T>,
): Promise<T> {
  const installation = await findInstallation(env)
  const report = createProgressReport(stderr, env.TERM, work)
  const withImages = (parts: LogParts) => {
    const { broker } = parts
    const { replicas } = installation.config.broker
    const bucket = { nats: () => broker.nc(), replicas, bucketName: broker.names.bucket }
    return act({ ...parts, images: openStore(installation.storageUrl, bucket), report })
  }
  try {
    return await withLog(installation, signal, withImages, { readOnly })
  } finally {
    report.stop()
  }
}
