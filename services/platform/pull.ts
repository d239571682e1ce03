import { createInbox, type Msg, type NatsConnection, nanos } from 'nats'
import { FaafoError } from '../../events/errors.ts'

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

/**
 * undefined where it is no message of the stream. Source: NATS, ADR-15, where acknowledgements go:
 *
 *   $JS.ACK.                  <stream>.<consumer>.<times delivered>.<seq>.<delivery>.<Unix ns>.<pending>
 *   $JS.ACK.<domain>.<account>.<stream>.<consumer>.<times delivered>.<seq>.<delivery>.<Unix ns>.<pending>.<random>
 */
function deliveredOf(message: Msg): Delivered | undefined {
  const parts = message.reply?.split('.') ?? []
  if (parts[1] !== 'ACK') return undefined
  const [, seq, delivery, ns, pending] = parts.slice(parts.length === 9 ? 4 : 6).map(Number)
  if (seq === undefined || delivery === undefined || ns === undefined || pending === undefined) return undefined
  return { message, delivery, seq, storedAt: Math.floor(ns / 1e6), pending }
}
