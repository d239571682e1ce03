import { createInbox, type Msg, type NatsConnection, nanos } from 'nats'

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
 * more are coming, or `signal` fires. The client library gives them out one by one, which takes longer than everything
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
  let wake = () => {}
  const end = () => {
    isOver = true
    wake()
  }
  const subscription = nc.subscribe(inbox, {
    callback(error, message) {
      const delivered = error ? undefined : deliveredOf(message)
      if (!delivered) return end() // a status: nothing came in time, or the consumer is gone
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
      } else if (left === 0 || isOver) return
      else {
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
