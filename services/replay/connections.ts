import { existsSync } from 'node:fs'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { type Broker, openBroker } from '../platform/broker.ts'
import { type Config, withoutPassword } from '../platform/config.ts'
import { type Db, openDatabase, rootCause } from '../platform/database.ts'
import { createLog, type Log } from '../platform/log.ts'
import { createLogger, type Logger } from '../platform/logger.ts'
import { pause } from '../platform/shutdown.ts'
import { administering } from '../platform/stream.ts'
import { ensureStreams } from '../platform/streams.ts'
import type { ImageStore } from '../storage/image-store.ts'
import { openStore } from '../storage/open-store.ts'
import { parseStorageUrl } from '../storage/storage-url.ts'
import type { DoctorParts } from './doctor/patient.ts'

export type BrokerAddress = Config['broker'] & { url: string }

export type LogParts = { broker: Broker; log: Log; logger: Logger }

export type OpenLog = LogParts & {
  /** Fires when the one that was given does, and once the broker has ended the connection for good. */
  signal: AbortSignal
  /** Throws `log-unavailable` where the broker has ended it before. */
  close(): Promise<void>
}

export type LogUse = {
  logger: Logger
  signal: AbortSignal
  /** Unless that is said to be false nothing at the broker is made or changed. */
  readOnly?: boolean
}

/** How long a broker may take to answer. */
const BROKER_MS = 5_000

/** Throws `unreachable` where the broker does not answer, `aborted`, and as the `ready` of a broker. */
export async function openLog(
  address: BrokerAddress,
  { logger, signal: asked, readOnly = true }: LogUse,
): Promise<OpenLog> {
  const lost = new AbortController()
  const broker = openBroker(address, 'faafo replay', logger, { readOnly, onLost: () => lost.abort() })
  const done = new AbortController()
  try {
    const late = pause(BROKER_MS, AbortSignal.any([asked, done.signal])).then(() => null)
    const answered = await Promise.race([broker.ready, late])
    if (asked.aborted) throw new FaafoError('aborted', 'cannot reach the log: it was interrupted')
    if (answered === null) {
      if (!broker.isConnected()) {
        const at = withoutPassword(address.url)
        throw new FaafoError('unreachable', `cannot read the log: no broker answers at ${at}`)
      }
      // It answers, and its streams are not there yet: then it says why.
      if (!readOnly)
        await administering(broker, 'make the streams', (jsm) => ensureStreams(jsm, broker.names, address.replicas))
    }
    return { broker, log: createLog(broker), logger, signal: AbortSignal.any([asked, lost.signal]), close }
  } catch (error) {
    await broker.close()
    throw error
  } finally {
    done.abort()
  }

  async function close(): Promise<void> {
    await broker.close()
    if (!lost.signal.aborted) return
    throw new FaafoError('log-unavailable', 'cannot go on: the broker has ended the connection for good')
  }
}

/** Gives `use` the log, and closes it. Throws as `openLog`. */
export async function withLogAt<T>(
  address: BrokerAddress,
  opening: LogUse,
  use: (log: OpenLog) => Promise<T>,
): Promise<T> {
  const opened = await openLog(address, opening)
  try {
    return await use(opened)
  } finally {
    await opened.close()
  }
}

/** An operator sees for himself how long it takes: the comparison of a large table is one statement. */
const LONGEST_STATEMENT_MS = 3_600_000

/** Gives `use` the database, and closes it. Throws `unreachable` where that is away. */
export async function withDatabaseAt<T>(url: string, name: string, use: (db: Db) => Promise<T>): Promise<T> {
  const database = openDatabase(url, { max: 4, name, mostSilenceMs: LONGEST_STATEMENT_MS })
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

/** `replicas`: of a bucket that is made here, 1 where nothing is said; null: none is made. */
export const imagesAt = (url: string, { nc, names }: Broker, replicas: number | null | undefined): ImageStore =>
  openStore(url, { nats: nc, replicas, bucketName: names.bucket })

/** Longer than the embedded database keeps a reader waiting while it compares tables of some size. */
const DOCTORS_STATEMENT_MS = 15_000

/** Gives `use` what the doctor looks at, whether it answers or not. `dataDir`: of a `faafo up` that runs on this machine. */
export async function withDoctorPartsAt<T>(
  at: { broker: BrokerAddress; databaseUrl: string; storageUrl: string; dataDir: string | null },
  use: (parts: DoctorParts) => Promise<T>,
): Promise<T> {
  const { replicas, syncInterval } = at.broker
  const location = parseStorageUrl(at.storageUrl)
  const here = (folder: string | null) => (folder !== null && existsSync(folder) ? folder : null)
  const logger = createLogger('replay', { logLevel: 'silent' })
  const broker = openBroker(at.broker, 'faafo replay', logger, { readOnly: true, onLost: () => {} })
  const database = openDatabase(at.databaseUrl, { max: 4, name: 'faafo replay', mostSilenceMs: DOCTORS_STATEMENT_MS })
  try {
    return await use({
      ...{ broker, log: createLog(broker), db: database.db, logger },
      images: imagesAt(at.storageUrl, broker, null),
      settings: { replicas, syncInterval },
      folders: { data: here(at.dataDir), images: here(location.kind === 'file' ? location.dir : null) },
    })
  } finally {
    await broker.close()
    await database.close()
  }
}
