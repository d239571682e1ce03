import { AckPolicy, DeliverPolicy, type JsMsg, NatsError, nanos } from 'nats'
import { FaafoError, isFaafoError, messageOf } from '../../events/errors.ts'
import { type LogPosition, startOfLog, verifyPosition } from './log-reader.ts'
import { millisOf, timesOf } from './log-time.ts'
import { ACK_WAIT_MS, findConsumer } from './queue-consumer.ts'
import { receivedOf } from './received.ts'
import { pause } from './shutdown.ts'
import type { Handler, SubscribeOptions } from './subscribe.ts'
import { insist, matching, positionOf, type SubscriptionParts } from './subscription.ts'
import { outside, unreadableOf } from './unreadable.ts'

const AT_ONCE = 100
const ASK_MS = 5_000
const LONGEST_FLUSH_MS = 1_000
const AGAIN_MS = 100

/** Through a durable consumer: what is not acknowledged comes again, here or in another process. */
export async function followShared(
  parts: SubscriptionParts,
  options: SubscribeOptions,
  signal: AbortSignal,
  handle: Handler,
): Promise<void> {
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
        await pause(AGAIN_MS, signal)
      }
    }
  } finally {
    unsubscribe()
  }
}

function eventOf({ broker, log }: SubscriptionParts, message: JsMsg) {
  const { seq, subject, info } = message
  const received = receivedOf(message)
  const place = { seq, storedAt: millisOf(info.timestampNanos) }
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
  { broker, log }: SubscriptionParts,
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
