import { createInbox, type Msg, type NatsConnection, nanos } from 'nats'
import { FaafoError } from '../../events/errors.ts'
import { millisOf } from './log-time.ts'

/** A message that a consumer gave out. */
export type Delivered = {
  message: Msg
  /** Which of those that the consumer gave out it is, from 1 on. */
  delivery: number
  /** Its place in the stream. */
  seq: number
  /** Unix milliseconds. */
  storedAt: number
  /** How many the consumer has after it. */
  pending: number
}

type Asking = {
  stream: string
  consumer: string
  /** How many messages are asked for. */
  max: number
  /** How long the broker is to wait for them. */
  expiresMs: number
}

/** So long after it should have said that there are no more, the broker is taken to have said it. */
const LATE_MS = 1_000

/**
 * The messages that one request to a pull consumer brings, all that have arrived at a time, until they are all there, the broker says that no
 * more are coming, or `signal` fires. Throws `log-unavailable` where it gives none, and not because there are none. The client library gives them out one by one, which takes longer than everything
 * else that it does to read a message.
 */
export async function* pull(
  nc: NatsConnection,
  { stream, consumer, max, expiresMs }: Asking,
  signal: AbortSignal,
): AsyncGenerator<Delivered[], void, undefined> {
  const inbox = createInbox()
  let arrived: Delivered[] = []
  let left = max
  let isOver = signal.aborted
  let refusal: string | undefined
  let wake = () => {}
  const end = () => {
    isOver = true
    wake()
  }
  const subscription = nc.subscribe(inbox, {
    callback(error, message) {
      const delivered = error ? undefined : deliveredOf(message)
      if (!delivered) {
        refusal = error?.message ?? refusalIn(message)
        return end()
      }
      arrived.push(delivered)
      left--
      wake()
    },
  })
  const late = setTimeout(end, expiresMs + LATE_MS)
  signal.addEventListener('abort', end, { once: true })
  try {
    const asked = JSON.stringify({ batch: max, expires: nanos(expiresMs) })
    nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, asked, { reply: inbox })
    while (!signal.aborted) {
      if (arrived.length > 0) {
        const messages = arrived
        arrived = []
        yield messages
      } else if (left === 0 || isOver) {
        if (refusal === undefined || left < max) return
        throw new FaafoError('log-unavailable', `cannot read the log: the broker answers '${refusal}'`)
      } else {
        await new Promise<void>((done) => {
          wake = done
        })
      }
    }
  } finally {
    clearTimeout(late)
    signal.removeEventListener('abort', end)
    if (!nc.isClosed()) subscription.unsubscribe()
  }
}

/** Statuses that say that nothing has come, by then or in time. */
const NOTHING_CAME = [404, 408]

/** What a status says that is none of these: the consumer is gone, or does not give out so many. */
function refusalIn({ headers }: Msg): string | undefined {
  if (!headers || NOTHING_CAME.includes(headers.code)) return undefined
  return `${headers.code} ${headers.description}`
}

/** Where the dots of a reply subject are; made once, since every message has one. */
const dots = new Uint16Array(16)

/**
 * undefined where it is no message of the stream. Source: NATS, ADR-15, where acknowledgements go:
 *
 *   $JS.ACK.                  <stream>.<consumer>.<times delivered>.<seq>.<delivery>.<Unix ns>.<pending>
 *   $JS.ACK.<domain>.<account>.<stream>.<consumer>.<times delivered>.<seq>.<delivery>.<Unix ns>.<pending>.<random>
 */
export function deliveredOf(message: Msg): Delivered | undefined {
  const { reply = '' } = message
  if (!reply.startsWith('$JS.ACK.')) return undefined
  let count = 0
  for (let at = reply.indexOf('.'); at >= 0; at = reply.indexOf('.', at + 1)) dots[count++] = at
  if (count !== 8 && count < 10) return undefined
  dots[count] = reply.length
  const first = count === 8 ? 5 : 7
  return {
    message,
    seq: numberIn(reply, first),
    delivery: numberIn(reply, first + 1),
    storedAt: millisOf(Number(reply.slice((dots[first + 1] ?? 0) + 1, dots[first + 2]))),
    pending: numberIn(reply, first + 3),
  }
}

const ZERO = 0x30

/** The `k`th part from 0 on. */
function numberIn(text: string, k: number): number {
  let value = 0
  const end = dots[k] ?? 0
  for (let at = (dots[k - 1] ?? 0) + 1; at < end; at++) value = 10 * value + text.charCodeAt(at) - ZERO
  return value
}
