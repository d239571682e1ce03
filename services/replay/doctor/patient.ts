import { FaafoError, isFaafoError } from '../../../events/errors.ts'
import type { Broker } from '../../platform/broker.ts'
import { readCheckpoint } from '../../platform/checkpoint.ts'
import type { Db } from '../../platform/database.ts'
import type { Log } from '../../platform/log.ts'
import type { Logger } from '../../platform/logger.ts'
import { isMigrated } from '../../platform/migrate.ts'
import { operateQueueOf, type QueueState, readQueue, renderQueueOf } from '../../platform/queue-consumer.ts'
import { type Answer, askBrokerClock, type ClockOffset, callTheRoll, type Heard } from '../../platform/roll-call.ts'
import type { CheckpointRow } from '../../platform/schema.ts'
import { pause } from '../../platform/shutdown.ts'
import { readStream, type StreamState } from '../../platform/stream.ts'
import { aggregateStreamOf, logStreamOf } from '../../platform/streams.ts'
import type { ImageStore } from '../../storage/image-store.ts'

export type DoctorParts = {
  /** One that only looks. It may be away, as the database and the storage may. */
  broker: Broker
  log: Log
  db: Db
  images: ImageStore
  logger: Logger
  settings: {
    /** Replicas that the log is to have; undefined where nobody asked for a number. */
    replicas: number | undefined
    /** What the operator says of the broker's fsync; undefined where nothing was said. */
    syncInterval: string | undefined
  }
  /** Folders of this machine that the installation writes to, as far as they are here. */
  folders: { data: string | null; images: string | null }
}

/** What several checks look at is read once. */
export type Patient = DoctorParts & {
  signal: AbortSignal
  /** Resolves to the broker's version. */
  version(): Promise<string>
  stream(): Promise<StreamState | null>
  /** The stream of what is not a fractal. */
  aggregates(): Promise<StreamState | null>
  queue(): Promise<QueueState | null>
  operationQueue(): Promise<QueueState | null>
  checkpoint(): Promise<CheckpointRow | null>
  /** Services that answer. */
  roll(): Promise<Heard[]>
  brokerClock(): Promise<ClockOffset>
}

/** How long a broker may take to answer at all. */
const BROKER_MS = 5_000
/** Whoever answers calls does so at once. */
const ANSWERS_MS = 1_000
/** What a busy broker or a slow network leaves unanswered once is asked again. */
const TRIES = 3

export function patientOf(parts: DoctorParts, signal: AbortSignal): Patient {
  const { broker, db, settings } = parts
  const version = once(async () => {
    const late = pause(BROKER_MS, signal).then(() => null)
    const asked = broker.ready.then(() => answerOf(broker).catch(() => null)) // one that refuses us says why
    const answered = await Promise.race([asked, late])
    if (answered !== null) return answered
    throw new FaafoError('unreachable', 'cannot reach the log: no broker answers')
  })
  const atBroker = <T>(ask: () => Promise<T>) => once(() => version().then(() => patiently(ask)))
  return {
    ...parts,
    signal,
    version,
    stream: atBroker(() => readStream(broker, logStreamOf(broker.names), settings.replicas)),
    aggregates: atBroker(() => readStream(broker, aggregateStreamOf(broker.names), settings.replicas)),
    queue: atBroker(() => readQueue(broker, renderQueueOf(broker.names))),
    operationQueue: atBroker(() => readQueue(broker, operateQueueOf(broker.names))),
    checkpoint: once(async () => {
      if (await isMigrated(db)) return readCheckpoint(db)
      throw new FaafoError('database-unavailable', "cannot read the checkpoint: the schema is not this version's")
    }),
    roll: atBroker(() => callTheRoll(broker, ANSWERS_MS, signal)),
    brokerClock: atBroker(() => askBrokerClock(broker)),
  }
}

/** How long a busy process is given to answer. */
const BUSY_MS = 2_000

/** Where they matter and none was heard of, they are called again: one may have been too busy to answer. */
export async function present(
  { roll, broker, signal }: Patient,
  wanted: Answer['service'],
  isWanted: boolean,
): Promise<Heard[]> {
  const among = (heard: Heard[]) => heard.filter(({ service }) => service === wanted)
  const there = among(await roll())
  return there.length > 0 || !isWanted ? there : among(await callTheRoll(broker, BUSY_MS, signal))
}

/** Its version, once it has answered: a connection may be lost that nobody has noticed yet. */
async function answerOf(broker: Broker): Promise<string> {
  const nc = broker.nc()
  await nc.rtt()
  return nc.info?.version ?? 'unknown'
}

/** Asks again where the broker did not answer. */
export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      if (tries === TRIES || !isFaafoError(error, 'log-unavailable')) throw error
    }
  }
}

function once<T>(read: () => Promise<T>): () => Promise<T> {
  let reading: Promise<T> | undefined
  return () => {
    reading ??= read()
    return reading
  }
}

export function requireGoing({ aborted }: AbortSignal): void {
  if (aborted) throw new FaafoError('aborted', 'cannot go on looking: it was interrupted')
}
