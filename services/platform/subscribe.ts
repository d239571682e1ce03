import type { CloudEvent, UnreadableCloudEvent } from '../../events/cloud-event.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { EventType } from '../../events/events.ts'
import { openBroker } from './broker.ts'
import { createLog } from './log.ts'
import { createLogger, type Logger } from './logger.ts'
import { followInOrder } from './ordered-subscription.ts'
import { followShared } from './shared-subscription.ts'
import { orAborted } from './shutdown.ts'
import { GivenUp } from './subscription.ts'

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
    const follow = durable === undefined ? followInOrder : followShared
    await follow(parts, options, signal, handle)
  } catch (error) {
    throw error instanceof GivenUp ? error.reason : error
  } finally {
    signal.removeEventListener('abort', stopped)
    await broker.close()
  }
}
