import { FaafoError } from '../../events/errors.ts'
import { type Config, parseConfig } from '../platform/config.ts'
import type { Db } from '../platform/database.ts'
import { createLogger } from '../platform/logger.ts'
import {
  type BrokerAddress,
  imagesAt,
  type OpenLog,
  withDatabaseAt,
  withDoctorPartsAt,
  withLogAt,
} from '../replay/connections.ts'
import type { DoctorParts } from '../replay/doctor/patient.ts'
import type { ImageStore } from '../storage/image-store.ts'
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

const addressOf = ({ config, brokerUrl }: Installation): BrokerAddress => ({ ...config.broker, url: brokerUrl() })

/** Gives `use` the log, to be read unless it is said not to be `readOnly`. Throws `unreachable` where the broker does not answer. */
export async function withLog<T>(
  installation: Installation,
  signal: AbortSignal,
  use: (log: OpenLog) => Promise<T>,
  { readOnly = true } = {},
): Promise<T> {
  const logger = createLogger('replay', { logLevel: 'warn', logFormat: installation.config.logFormat })
  return withLogAt(addressOf(installation), { logger, signal, readOnly }, use)
}

/** Throws `unreachable` where the database is away. */
export const withDatabase = <T>({ databaseUrl }: Installation, name: string, use: (db: Db) => Promise<T>): Promise<T> =>
  withDatabaseAt(databaseUrl(), `faafo ${name}`, use)

/** What the doctor looks at, whether it answers or not. */
export async function withDoctorParts<T>(
  installation: Installation,
  use: (parts: DoctorParts) => Promise<T>,
): Promise<T> {
  const { config, databaseUrl, storageUrl, syncInterval, isHere } = installation
  const broker = { ...addressOf(installation), syncInterval }
  const dataDir = isHere ? config.dataDir : null
  return withDoctorPartsAt({ broker, databaseUrl: databaseUrl(), storageUrl, dataDir }, use)
}

type OperatorParts = OpenLog & { db: Db; installation: Installation; report: ProgressReport }

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
      withLog(installation, signal, (log) => act({ ...log, db, installation, report })),
    )
  } finally {
    report.stop()
  }
}

type CopyParts = OpenLog & { images: ImageStore; report: ProgressReport }

/** Gives `act` the log and the images, and a report on standard error of how far `work` has come. */
export async function onLog<T>(
  { env, stderr, signal }: Pick<Session, 'env' | 'stderr' | 'signal'>,
  work: string,
  { readOnly }: { readOnly: boolean },
  act: (parts: CopyParts) => Promise<T>,
): Promise<T> {
  const installation = await findInstallation(env)
  const report = createProgressReport(stderr, env.TERM, work)
  const { storageUrl, config } = installation
  const withImages = (log: OpenLog) =>
    act({ ...log, images: imagesAt(storageUrl, log.broker, readOnly ? null : config.broker.replicas), report })
  try {
    return await withLog(installation, signal, withImages, { readOnly })
  } finally {
    report.stop()
  }
}
