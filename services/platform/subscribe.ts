import { AckPolicy, DeliverPolicy, type JsMsg, NatsError, nanos } from 'nats'
import type { CloudEvent, UnreadableCloudEvent } from '../../events/cloud-event.ts'
import { parseCursor } from '../../events/cursor.ts'
import { FaafoError, isFaafoError, messageOf } from '../../events/errors.ts'
import type { EventType } from '../../events/events.ts'
import { type Broker, openBroker } from './broker.ts'
import { createLog, type Log } from './log.ts'
import { type LogPosition, readAll, startOfLog, verifyPosition } from './log-reader.ts'
import { timesOf } from './log-time.ts'
import { createLogger, type Logger } from './logger.ts'
import { ACK_WAIT_MS, findConsumer } from './queue-consumer.ts'
import { receivedOf } from './received.ts'
import { orAborted, pause } from './shutdown.ts'
import { outside, unreadableOf } from './unreadable.ts'

/*
 * `faafo/events`: the events for programs, straight from NATS.
 *
 *   await subscribe({ durable: 'thumbnailer', types: ['TaskCompleted'], signal }, async (event) => {
 *     if ('unreadable' in event || event.type !== 'TaskCompleted') return
 *     await makeThumbnail(event.subject, event.data.imageKey)
 *   })
 */

export type { CloudEvent, UnreadableCloudEvent }
export { FaafoError, isFaafoError }

export type SubscribeOptions = {
  /** Where NATS is, several servers with commas between. nats://127.0.0.1:4222 where nothing is given. */
  servers?: string
  /** Path of a credentials file. */
  creds?: string
  nkeySeed?: string
  /** Path of the certificate authority's file. */
  tlsCa?: string
  /** NATS_NAMESPACE of the installation. */
  namespace?: string
  /**
   * Has the broker keep the place under this name, over restarts, for all processes that use it, of which each event goes
   * to one. Without a name every event comes to this process, and the place is the caller's to keep.
   */
  durable?: string
  /**
   * How many events may be in hand at once, in all processes of a durable name together. 1 where nothing is given: they come in order,
   * whoever dies, and what a dead process had in hand comes again after ten seconds. With more, processes share the work,
   * and events that come again come behind later ones.
   */
  inHand?: number
  /** Only what comes after this cursor, '0' for everything; from now on without it. A durable name that exists has its place. */
  after?: string
  /** Only events of these types; what this version cannot read comes all the same, for nobody knows what it is. */
  types?: readonly EventType[]
  /** Ends it: the event in hand, or on its way here, is finished. */
  signal?: AbortSignal
  /** Tries of one event before `subscribe` gives up, and rejects; as many as it takes where nothing is given. */
  mostTries?: number
  logger?: Logger
}

export type Handled = {
  /** Where a later subscription goes on after this event. */
  cursor: string
  /** 1 the first time. */
  tries: number
  signal: AbortSignal
}

/** Resolves once the event is dealt with. Where it rejects, the event comes again, and those after it wait. */
export type Handler = (event: CloudEvent | UnreadableCloudEvent, handled: Handled) => Promise<void> | void

const AT_ONCE = 100
const ASK_MS = 5_000
const LONGEST_FLUSH_MS = 1_000
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 30_000

/**
 * Hands every event to `handle`, in the order of the log and one at a time, until `signal` fires: then it resolves.
 * Broker outages are waited out. What `handle` did before a crash may come to it again: `event.id` tells. Rejects with
 * `log-replaced` where the log is not the one that the place was taken from, and with what `handle` threw at the last try.
 */
export async function subscribe(options: SubscribeOptions, handle: Handler): Promise<void> {
  const { servers = 'nats://127.0.0.1:4222', namespace = '', durable, signal = new AbortController().signal } = options
  const { inHand = 1 } = options
  if (!Number.isInteger(inHand) || inHand < 1) {
    throw new FaafoError('invalid-request', `cannot subscribe: inHand is ${inHand}; expected a whole number from 1 on`)
  }
  const logger = options.logger ?? createLogger('subscriber', { logLevel: 'silent' })
  const { creds, nkeySeed, tlsCa } = options
  const unset = { program: undefined, downloadUrl: undefined, syncInterval: undefined, replicas: undefined }
  const config = { url: servers, creds, nkeySeed, tlsCa, namespace, ...unset }
  const broker = openBroker(config, durable ? `subscriber ${durable}` : 'subscriber', logger, {
    readOnly: true,
    onLost: () => {},
  })
  const stopped = () => void broker.close()
  signal.addEventListener('abort', stopped, { once: true })
  try {
    await orAborted(broker.ready, signal)
    if (signal.aborted) return
    await broker.ready
    const parts = { broker, log: createLog(broker), logger }
    signal.removeEventListener('abort', stopped) // from here on the event in hand is finished first
    const follow = durable === undefined ? inOrder : shared
    await follow(parts, options, signal, handle)
  } catch (error) {
    throw error instanceof GivenUp ? error.reason : error
  } finally {
    signal.removeEventListener('abort', stopped)
    await broker.close()
  }
}

/** What a handler threw at the last try: none of the errors that are waited out. */
class GivenUp extends Error {
  readonly reason: unknown
  constructor(reason: unknown) {
    super('given up')
    this.reason = reason
  }
}

type Parts = { broker: Broker; log: Log; logger: Logger }

async function inOrder(parts: Parts, options: SubscribeOptions, signal: AbortSignal, handle: Handler): Promise<void> {
  const from = await positionOf(parts.log, options.after)
  await verifyPosition(parts.log, from)
  const isAsked = matching(options)
  for await (const batch of readAll(parts, { from, signal, batchSize: AT_ONCE })) {
    for (const event of batch) {
      if (signal.aborted) return
      const said = outside(event)
      if (isAsked(said)) await insist(parts, options, signal, said, handle)
    }
  }
}

async function positionOf(log: Log, after: string | undefined): Promise<LogPosition> {
  if (after === undefined) return { ...startOfLog, seq: (await log.head()).lastSeq }
  const { seq, idPrefix } = parseCursor(after)
  return { ...startOfLog, seq, id: idPrefix }
}

const matching =
  ({ types = [] }: SubscribeOptions) =>
  (event: CloudEvent | UnreadableCloudEvent): boolean =>
    types.length === 0 || 'unreadable' in event || types.includes(event.type)

/** Until it is dealt with, or `signal` fires; false: it is not. */
async function insist(
  { logger }: Parts,
  { mostTries = Number.POSITIVE_INFINITY }: SubscribeOptions,
  signal: AbortSignal,
  event: CloudEvent | UnreadableCloudEvent,
  handle: Handler,
): Promise<boolean> {
  const { cursor } = event
  for (let tries = 1; ; tries++) {
    try {
      await handle(event, { cursor, tries, signal })
      return true
    } catch (error) {
      if (tries >= mostTries) throw new GivenUp(error)
      if (signal.aborted) return false
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (tries - 1), LONGEST_PAUSE_MS)
      logger.warn({ cursor, tries, reason: messageOf(error), again: `in ${pauseMs / 1000} s` }, 'event not dealt with')
      await pause(pauseMs, signal)
      if (signal.aborted) return false
    }
  }
}

/** Through a durable consumer: what is not acknowledged comes again, here or in another process. */
async function shared(parts: Parts, options: SubscribeOptions, signal: AbortSignal, handle: Handler): Promise<void> {
  const { broker, logger } = parts
  const { durable = '', inHand = 1 } = options
  const isAsked = matching(options)
  /** The last one that was dealt with here: it tells this log from another. */
  let last: LogPosition | undefined
  let isDoubtful = true
  let msEach = 0
  const unsubscribe = broker.onReconnect(() => {
    isDoubtful = true
  })

  /** To be sent again at once; where one at a time is in hand, brokers before 2.10 do so after the ack wait only, and twice. */
  function giveBack(message: JsMsg): void {
    if (inHand > 1) message.nak()
  }

  async function settle(message: JsMsg, beforeAck: () => void): Promise<'done' | 'late' | 'stopped'> {
    const startedAt = Date.now()
    const event = outside(eventOf(parts, message))
    const working = setInterval(() => message.working(), ACK_WAIT_MS / 3)
    try {
      if (isAsked(event) && !(await insist(parts, options, signal, event, handle))) {
        beforeAck()
        giveBack(message)
        return 'stopped'
      }
    } finally {
      clearInterval(working)
    }
    beforeAck()
    message.ack()
    // An id that stands for none tells nothing.
    last = { ...startOfLog, seq: message.seq, id: 'unreadable' in event ? null : event.id }
    const ms = Date.now() - startedAt
    msEach = (3 * msEach + ms) / 4
    return inHand > 1 && ms > ACK_WAIT_MS / 2 ? 'late' : 'done'
  }

  try {
    while (!signal.aborted) {
      try {
        if (isDoubtful) await requireConsumer(parts, options, last)
        isDoubtful = false
        // Of those that it sends ahead no more than can be dealt with before it gives them to others.
        const inTime = Math.floor(ACK_WAIT_MS / 4 / Math.max(1, msEach))
        const most = inHand === 1 ? AT_ONCE : Math.max(1, Math.min(AT_ONCE, inTime))
        const nc = broker.nc()
        const consumer = await nc.jetstream().consumers.get(broker.names.stream, durable)
        const messages = await consumer.fetch({ max_messages: most, expires: ASK_MS })
        // What the broker has sent by then still arrives, and is dealt with or goes back, so that it need not wait for the ack wait.
        const stop = () => {
          const arrived = broker.isConnected() ? nc.flush().catch(() => {}) : Promise.resolve()
          void Promise.race([arrived, pause(LONGEST_FLUSH_MS)]).then(() => messages.stop())
        }
        // Of one in hand the broker hears that it was the last one before it hears of its ack, and so sends no other.
        const sendNoOther = () => {
          if (signal.aborted && inHand === 1) messages.stop()
        }
        signal.addEventListener('abort', stop, { once: true })
        let gone: 'late' | 'stopped' | undefined
        try {
          for await (const message of messages) {
            if (gone || (signal.aborted && inHand > 1)) giveBack(message)
            else {
              const settled = await settle(message, sendNoOther)
              if (settled !== 'done') gone = settled
            }
          }
        } finally {
          signal.removeEventListener('abort', stop)
        }
        if (gone === 'stopped') return
      } catch (error) {
        if (!isOutage(error)) throw error
        if (signal.aborted) return
        logger.debug({ reason: messageOf(error) }, 'subscription interrupted')
        isDoubtful = true
        await pause(FIRST_PAUSE_MS, signal)
      }
    }
  } finally {
    unsubscribe()
  }
}

function eventOf({ broker, log }: Parts, message: JsMsg) {
  const { seq, subject, info } = message
  const received = receivedOf(message)
  const place = { seq, storedAt: Math.floor(info.timestampNanos / 1e6) }
  try {
    return log.decode(received, place)
  } catch (error) {
    if (!isFaafoError(error, 'undecodable-event')) throw error
    const id = received.header('ce-id')
    const times = timesOf(received.header('ce-recordedtime'), place.storedAt)
    return unreadableOf({ ...times, seq, id, subject, header: received.header }, broker.names, error)
  }
}

/** Makes it where it is missing, has it know how many may be in hand, and looks whether its place, and what was dealt with last, are of this log. */
async function requireConsumer(
  { broker, log }: Parts,
  { durable = '', inHand = 1, after }: SubscribeOptions,
  last: LogPosition | undefined,
): Promise<void> {
  const { stream } = broker.names
  const { lastSeq } = await verifyPosition(log, last ?? startOfLog)
  const jsm = await broker.nc().jetstreamManager({ checkAPI: false })
  const info = await findConsumer(jsm, { stream, consumer: durable, filter: '' })
  if (info) {
    if (info.config.ack_policy !== AckPolicy.Explicit || info.config.deliver_subject) {
      const reason = `the broker has a consumer of that name that is for something else`
      throw new FaafoError('invalid-request', `cannot subscribe as '${durable}': ${reason}; choose another name`)
    }
    if (info.ack_floor.stream_seq <= lastSeq) {
      if (info.config.max_ack_pending !== inHand) {
        await jsm.consumers.update(stream, durable, { max_ack_pending: inHand })
      }
      return
    }
    const reason = `its place is after event ${info.ack_floor.stream_seq}, and the log ends at ${lastSeq}`
    throw new FaafoError('log-replaced', `cannot go on as '${durable}': ${reason}; its end was lost`)
  }
  const from = last ?? (after === undefined ? undefined : await positionOf(log, after))
  if (from) await verifyPosition(log, from)
  await jsm.consumers.add(stream, {
    durable_name: durable,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(ACK_WAIT_MS),
    max_deliver: -1,
    max_ack_pending: inHand,
    ...(from
      ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: from.seq + 1 }
      : { deliver_policy: DeliverPolicy.New }),
  })
}

/** What a handler throws is no outage. */
const isOutage = (error: unknown): boolean =>
  error instanceof NatsError || isFaafoError(error, 'log-unavailable') || isFaafoError(error, 'aborted')
