import type { Consumer, JsMsg } from 'nats'
import { decode, type Position, type ReceivedMessage } from '../../events/codec.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import type { Broker } from './broker.ts'
import { millisOf } from './log-time.ts'
import type { Logger } from './logger.ts'
import { addConsumer, findConsumer, type Queue, remakeConsumer, renderQueueOf } from './queue-consumer.ts'
import { receivedOf } from './received.ts'

/** Longest wait of one ask for messages that are not there yet. */
const ASK_MS = 3_000

/**
 * One message of the queue. `ack`, `nak` and `working` send a word to the broker and wait for no answer: a word that is
 * lost means that the message is delivered again.
 */
export type Delivery<E = RecordedEvent> = {
  /** Throws `undecodable-event`. */
  event(): E
  /** Whether the broker says that it was delivered before; a broker that was killed may have forgotten. */
  redelivered: boolean
  /** The message is done and is never delivered again. */
  ack(): void
  /** The message may be delivered again, to whichever process, after `delayMs`. */
  nak(delayMs: number): void
  /** The message is being worked on: its ack wait starts anew. */
  working(): void
}

/** A queue that any number of processes share: each message is handed to one of them. */
export type WorkQueue<E> = {
  /**
   * Asks for up to `max` deliveries; yields those that are there at once and more as they come, for a few seconds or
   * until `signal` fires (what has arrived by then is still yielded). Throws `log-unavailable`; ask again later.
   */
  ask(max: number, signal: AbortSignal): AsyncGenerator<Delivery<E>, void>
}

export type RenderQueue = WorkQueue<RecordedEvent>

/** The queue of requested tasks that all workers share. */
export const renderQueue = (broker: Broker, logger: Logger): RenderQueue => {
  return workQueue(broker, logger, { ...renderQueueOf(broker.names), decode })
}

/** A queue, and how its messages are read. */
type Source<E> = Queue & { decode: (message: ReceivedMessage, position: Position) => E }

/**
 * The queue as a durable pull consumer on a stream of events, made by whichever process comes first, and again
 * where it vanished.
 *
 * A power cut may take the end of the stream and leave the consumer's state, which then stands beyond it: what is recorded
 * from then on would not be delivered. Such a consumer is made anew, also after a reconnect; it delivers every message
 * once more, and whoever takes one finds what came of it.
 */
export function workQueue<E>(broker: Broker, logger: Logger, { decode, ...queue }: Source<E>): WorkQueue<E> {
  let known: Promise<Consumer> | undefined
  broker.onReconnect(() => {
    known = undefined
  })

  async function openConsumer(): Promise<Consumer> {
    const nc = broker.nc()
    const jsm = await nc.jetstreamManager({ checkAPI: false })
    const found = await findConsumer(jsm, queue)
    if (!found) await addConsumer(jsm, queue)
    else {
      const { state } = await jsm.streams.info(queue.stream)
      const { delivered } = found
      if (delivered.stream_seq > state.last_seq) {
        logger.warn({ delivered: delivered.stream_seq, lastSeq: state.last_seq }, 'log lost its end, queue made anew')
        await remakeConsumer(jsm, queue)
      }
    }
    return nc.jetstream().consumers.get(queue.stream, queue.consumer)
  }

  return {
    async *ask(max, signal) {
      try {
        broker.nc()
        known ??= openConsumer()
        const messages = await (await known).fetch({ max_messages: max, expires: ASK_MS })
        const stop = () => messages.stop()
        if (signal.aborted) stop()
        signal.addEventListener('abort', stop, { once: true })
        try {
          for await (const message of messages) yield deliveryOf(message, decode)
        } finally {
          signal.removeEventListener('abort', stop)
        }
      } catch (error) {
        known = undefined
        if (isFaafoError(error)) throw error
        throw new FaafoError('log-unavailable', 'cannot ask for work: the broker did not answer', { cause: error })
      }
    },
  }
}

const deliveryOf = <E>(message: JsMsg, decode: Source<E>['decode']): Delivery<E> => ({
  event: () =>
    decode(receivedOf(message), {
      seq: message.seq,
      storedAt: millisOf(message.info.timestampNanos),
    }),
  redelivered: message.redelivered,
  ack: () => say(() => message.ack()),
  nak: (delayMs) => say(() => (delayMs > 0 ? message.nak(delayMs) : message.nak())),
  working: () => say(() => message.working()),
})

function say(word: () => void): void {
  try {
    word()
  } catch {
    // the connection is closed
  }
}
