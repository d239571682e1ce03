import { FaafoError, isFaafoError, messageOf } from '../../events/errors.ts'
import { parseConfig } from '../platform/config.ts'
import { type Db, rootCause } from '../platform/database.ts'
import { createLogger, type Logger } from '../platform/logger.ts'
import type { ProjectorParts } from '../projector/fold-log.ts'
import { type BrokerAddress, type OpenLog, withDatabaseAt, withLogAt } from './connections.ts'

export type ReplayOptions = {
  /** Where NATS is, several servers with commas between. */
  natsUrl: string
  /** `postgres://…`, for all but `tail`, `show`, `asOf`, `exportTo` and `importFrom`. */
  databaseUrl?: string | undefined
  /** `file:/folder` or `nats-object:<bucket>`, for `verify`, `doctor`, `importFrom`, and `exportTo` with images. */
  storageUrl?: string | undefined
  /** NATS_NAMESPACE of the installation. */
  namespace?: string | undefined
  /** Path of a credentials file. */
  creds?: string | undefined
  nkeySeed?: string | undefined
  /** Path of the certificate authority's file. */
  tlsCa?: string | undefined
  /** NATS_REPLICAS: of what an import makes; the doctor holds the log against it. */
  replicas?: number | undefined
  /** NATS_SYNC_INTERVAL: how often the broker writes to disk, which the doctor cannot see. */
  syncInterval?: string | undefined
  logger?: Logger
}

/** What the options say, and how it is opened: for one call each, whose errors are all ours. */
export type Place = {
  address: BrokerAddress
  logger: Logger
  replicas: number | undefined
  /** The URL. Throws `invalid-config` where it was not given, which keeps from the `action`. */
  required(name: 'databaseUrl' | 'storageUrl', action: string): string
  onLog<T>(
    signal: AbortSignal | undefined,
    use: (log: OpenLog) => Promise<T>,
    options?: { readOnly: boolean },
  ): Promise<T>
  onDatabase<T>(use: (db: Db) => Promise<T>): Promise<T>
  onTables<T>(
    signal: AbortSignal | undefined,
    use: (parts: ProjectorParts & { signal: AbortSignal }) => Promise<T>,
  ): Promise<T>
}

export const never: AbortSignal = new AbortController().signal

/** Throws `invalid-config`, which speaks of the variables that the options stand for. */
export function placeOf(options: ReplayOptions): Place {
  const { natsUrl, replicas, logger = createLogger('replay', { logLevel: 'silent' }) } = options
  const { broker } = parseConfig(
    {
      ...{ NATS_URL: natsUrl, DATABASE_URL: options.databaseUrl, STORAGE_URL: options.storageUrl },
      ...{ NATS_NAMESPACE: options.namespace, NATS_SYNC_INTERVAL: options.syncInterval },
      ...{ NATS_CREDS: options.creds, NATS_NKEY_SEED: options.nkeySeed, NATS_TLS_CA: options.tlsCa },
      NATS_REPLICAS: replicas === undefined ? undefined : String(replicas),
    },
    ['NATS_URL'],
  )
  const address = { ...broker, url: natsUrl }

  const required: Place['required'] = (name, action) => {
    const url = options[name]
    if (url) return url
    throw new FaafoError('invalid-config', `cannot ${action}: ${name} was not given`)
  }
  const onLog: Place['onLog'] = (signal, use, { readOnly } = { readOnly: true }) =>
    inOurWords(() => withLogAt(address, { logger, signal: signal ?? never, readOnly }, use))
  const onDatabase: Place['onDatabase'] = (use) =>
    inOurWords(async () => withDatabaseAt(required('databaseUrl', 'look at the tables'), 'faafo replay', use))
  return {
    ...{ address, logger, replicas, required, onLog, onDatabase },
    onTables: (signal, use) => onDatabase((db) => onLog(signal, (log) => use({ ...log, db }))),
  }
}

/** What is none of our errors is `internal`. */
export async function inOurWords<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (isFaafoError(error)) throw error
    throw new FaafoError('internal', `cannot go on: ${messageOf(rootCause(error))}`, { cause: error })
  }
}
