import { AckPolicy, DeliverPolicy, nanos } from 'nats'
import { idPrefixOf } from '../../events/cursor.ts'
import { FaafoError, isFaafoError, messageOf } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import type { Broker } from './broker.ts'
import type { Log } from './log.ts'
import { timesOf } from './log-time.ts'
import type { Logger } from './logger.ts'
import { type Delivered, pull } from './pull.ts'
import { headersOf, receivedOf } from './received.ts'
import { pause } from './shutdown.ts'
import { type UnreadableEvent, unreadableOf } from './unreadable.ts'

/**
 * How far a reader has come, with what it takes to tell that the log is still the same: the event at that sequence
 * and the stream's creation time. `id` and `streamCreated` are null where nothing is known (sequence 0, or a bare
 * sequence given by a caller); `id` may be a prefix of 8 hex digits.
 */
export type LogPosition = {
  seq: number
  id: string | null
  streamCreated: string | null
  /** Unix milliseconds at which the broker stored the last event read, where its clock never ran backwards. */
  time: number
}

export const startOfLog: LogPosition = { seq: 0, id: null, streamCreated: null, time: 0 }

/** What it takes to look whether the log is still the same. */
type Look = Pick<Log, 'head'> & { messageAt(seq: number): Promise<{ id: string } | null> }

/** How a log differs from the one that a position was taken from. */
export type LogDifference = 'another-log' | 'end-lost' | 'another-event'

/**
 * Throws `log-replaced` where the log is not the one that the position was taken from, or lost its end since
 * (`details.difference`: LogDifference): that position, or `until`, which it is known to have had.
 * Resolves to the stream's creation time and last sequence.
 */
export async function verifyPosition(
  log: Look,
  position: LogPosition,
  until = position.seq,
): Promise<{ created: string; lastSeq: number }> {
  const head = await log.head()
  const replaced = (difference: LogDifference, reason: string) =>
    new FaafoError('log-replaced', `cannot go on from event ${position.seq}: ${reason}`, {
      details: { seq: position.seq, expectedId: position.id, lastSeq: head.lastSeq, difference },
    })
  if (position.streamCreated !== null && position.streamCreated !== head.created) {
    throw replaced(
      'another-log',
      `the log was made at ${head.created}, the one read before at ${position.streamCreated}`,
    )
  }
  if (until > head.lastSeq) {
    throw replaced('end-lost', `the log ends at event ${head.lastSeq}; its end was lost`)
  }
  if (position.id !== null && position.seq > 0) {
    const event = await log.messageAt(position.seq)
    if (!event) throw replaced('another-event', 'that event is not in the log')
    if (idPrefixOf(event.id) !== idPrefixOf(position.id))
      throw replaced('another-event', `the event there is now ${event.id}`)
  }
  return head
}

const FATAL = ['log-replaced', 'log-unsupported'] as const
const FETCH_MS = 5_000
const PAUSE_MS = 250
/** A reader that gets nowhere says so every so many tries: some five seconds. */
const SAID_EVERY = 20

type Reading = {
  from: LogPosition
  /** The sequence with which it ends, one that the log is known to have had; not given: never. */
  until?: number | undefined
  signal: AbortSignal
  batchSize?: number
  /** Messages that the broker is asked for at a time, and waited for: two batches where not given. */
  pulled?: number | undefined
}

/**
 * Every event after `from`, in order and without gaps, in batches of what is there (at most `batchSize`), for ever
 * until `signal` fires, or to its end. Memory is bounded: nothing is asked for while batches are not taken. Broker
 * outages are waited out. The position, and the end, are verified at the start, after every reconnect and whenever the
 * consumer behind it is made anew, before the next batch. Throws `log-replaced`, or what decoding throws (`undecodable-event`), after the
 * events before it.
 *
 * Times never run backwards over the log, whatever the broker's clock did. Imported events keep the time of their first
 * log, which says nothing of those around them.
 */
export const readLog = (
  parts: { broker: Broker; log: Log; logger: Logger },
  reading: Reading,
): AsyncGenerator<RecordedEvent[], void, undefined> => readBatches(parts, reading, recorded(parts.log))

/** As `readLog`, with what cannot be read in its place: nothing is `undecodable-event`. */
export const readAll = (
  parts: { broker: Broker; log: Log; logger: Logger },
  reading: Reading,
): AsyncGenerator<(RecordedEvent | UnreadableEvent)[], void, undefined> =>
  readBatches(parts, reading, (delivered) => {
    try {
      return recorded(parts.log)(delivered)
    } catch (error) {
      if (!isFaafoError(error, 'undecodable-event')) throw error
      const { headers, ...rest } = unread(delivered)
      return unreadableOf({ ...rest, header: (name) => headers[name] ?? '' }, parts.broker.names, error)
    }
  })

/** A message as it stands in the log, whether or not this program can read it. `id` is '' where it has none. */
export type LogMessage = Entry & { subject: string; headers: Record<string, string>; body: Uint8Array }

/** As `readLog`, whatever the messages are. */
export const readMessages = (
  parts: { broker: Broker; log: Look; logger: Logger },
  reading: Reading,
): AsyncGenerator<LogMessage[], void, undefined> => readBatches(parts, reading, unread)

type Entry = Pick<RecordedEvent, 'seq' | 'id' | 'recordedAt' | 'storedAt'>

async function* readBatches<E extends Entry>(
  { broker, log, logger }: { broker: Broker; log: Look; logger: Logger },
  { from, until, signal, batchSize = 1_000, pulled = 2 * batchSize }: Reading,
  read: (delivered: Delivered) => E,
): AsyncGenerator<E[], void, undefined> {
  let position = from
  let fruitless = 0
  let unreadable: unknown
  const reading = (delivered: Delivered): E => {
    try {
      return read(delivered)
    } catch (error) {
      unreadable = error
      throw error
    }
  }
  while (!signal.aborted && position.seq < (until ?? Number.POSITIVE_INFINITY)) {
    const doubt = new AbortController()
    const raise = () => doubt.abort()
    const unsubscribe = broker.onReconnect(raise)
    signal.addEventListener('abort', raise, { once: true })
    try {
      const head = await verifyPosition(log, position, until)
      position = { ...position, streamCreated: head.created }
      for await (const found of readSession({ broker, log }, position, { batchSize, pulled }, doubt.signal, reading)) {
        const batch = until === undefined ? found : found.filter(({ seq }) => seq <= until)
        const last = batch.at(-1)
        if (!last) continue
        yield batch
        position = positionAfter(position, last)
        if (last.seq === until) return
        fruitless = 0
      }
    } catch (error) {
      if (signal.aborted) return
      // A message that cannot be read is no outage, whatever the reason: it would be met again and again.
      if (error === unreadable || FATAL.some((code) => isFaafoError(error, code))) throw error
      const isLasting = ++fruitless % SAID_EVERY === 0 && broker.isConnected() // else its connection is what is told
      logger[isLasting ? 'warn' : 'debug']({ reason: messageOf(error), seq: position.seq }, 'log reading interrupted')
      await pause(PAUSE_MS, signal)
    } finally {
      unsubscribe()
      signal.removeEventListener('abort', raise)
    }
  }
}

/** The position once `last` has been read. */
export const positionAfter = (position: LogPosition, last: Entry): LogPosition => ({
  ...position,
  seq: last.seq,
  id: last.id,
  time: Math.max(position.time, last.storedAt ?? last.recordedAt),
})

/** Batches through one ephemeral consumer, until `doubt` fires or a delivery was lost. */
async function* readSession<E extends Entry>(
  { broker, log }: { broker: Broker; log: Look },
  from: LogPosition,
  { batchSize, pulled }: { batchSize: number; pulled: number },
  doubt: AbortSignal,
  read: (delivered: Delivered) => E,
): AsyncGenerator<E[], void, undefined> {
  const nc = broker.nc()
  const { stream } = broker.names
  const jsm = await nc.jetstreamManager({ checkAPI: false })
  const { name, config } = await jsm.consumers.add(stream, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: from.seq + 1,
    ack_policy: AckPolicy.None,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: nanos(30_000),
  })
  let { seq, time } = from
  let deliveries = 0
  try {
    while (!doubt.aborted) {
      const before = deliveries
      const max = Math.min(pulled, config.max_batch || Number.POSITIVE_INFINITY)
      let batch: E[] = []
      for await (const arrived of pull(nc, { stream, consumer: name, max, expiresMs: FETCH_MS }, doubt)) {
        const newest = arrived.at(-1)
        for (const delivered of arrived) {
          if (doubt.aborted) return
          // A delivery that did not arrive, or a consumer that its server started again: ask anew. Where the deliveries
          // are complete and a sequence is missing all the same, it is missing from the log.
          deliveries++
          if (delivered.delivery !== deliveries) {
            if (batch.length > 0) yield batch
            return
          }
          if (delivered.seq !== seq + 1) {
            if (batch.length > 0) yield batch
            throw missing(seq, delivered.seq - 1)
          }
          try {
            const event = read(delivered)
            const isImported = event.storedAt !== undefined
            time = Math.max(time, event.storedAt ?? event.recordedAt)
            batch.push(isImported || event.recordedAt === time ? event : { ...event, recordedAt: time })
          } catch (error) {
            if (batch.length > 0) yield batch
            throw error
          }
          seq = delivered.seq
          const isLast = delivered === newest && delivered.pending === 0
          if (batch.length >= batchSize || isLast) {
            yield batch
            batch = []
          }
        }
      }
      if (doubt.aborted) return
      if (batch.length > 0) yield batch
      if (deliveries - before === max) continue
      // What was on its way when the time ran out does not arrive any more, and where nothing comes after it nothing tells.
      if (doubt.aborted || (await jsm.consumers.info(stream, name)).delivered.consumer_seq !== deliveries) return
      if (deliveries === before) await verifyEnd(log, seq)
    }
  } finally {
    if (!nc.isClosed()) jsm.consumers.delete(stream, name).catch(() => {}) // else it goes after its inactivity
  }
}

/** Throws `log-replaced` where the log says that it goes on after `seq`, and has nothing there: of that no delivery tells. */
async function verifyEnd(log: Look, seq: number): Promise<void> {
  const { lastSeq } = await log.head()
  if (lastSeq > seq && (await log.messageAt(lastSeq)) === null) throw missing(seq, lastSeq)
}

const missing = (seq: number, last: number) =>
  new FaafoError(
    'log-replaced',
    `cannot go on from event ${seq}: events ${seq + 1} to ${last} are missing from the log`,
    { details: { seq, next: last + 1 } },
  )

const recorded =
  (log: Log) =>
  ({ message, seq, storedAt }: Delivered): RecordedEvent =>
    log.decode(receivedOf(message), { seq, storedAt })

function unread({ message, seq, storedAt }: Delivered): LogMessage {
  const headers = Object.fromEntries(headersOf(message))
  const { 'ce-id': id = '', 'ce-recordedtime': first = '' } = headers
  const { subject, data: body } = message
  return { seq, id, subject, headers, body, ...timesOf(first, storedAt) }
}
