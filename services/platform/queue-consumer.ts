import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  type JetStreamManager,
  NatsError,
  nanos,
  ReplayPolicy,
} from 'nats'
import type { Names } from '../../events/subjects.ts'
import type { Broker } from './broker.ts'
import { type Drift, driftOf, inPlace, type Rule } from './drift.ts'
import { administering } from './stream.ts'

/** A durable consumer that any number of processes share, and the stream that it is on. */
export type Queue = { stream: string; consumer: string; filter: string }

/** The workers' queue. */
export const renderQueueOf = ({ stream, renderConsumer, renderFilter }: Names): Queue => ({
  ...{ stream, consumer: renderConsumer, filter: renderFilter },
})

/** The operators' queue. */
export const operateQueueOf = ({ aggregateStream, operateConsumer, operateFilter }: Names): Queue => ({
  ...{ stream: aggregateStream, consumer: operateConsumer, filter: operateFilter },
})

/** A delivery that shows no sign of life for this long is given to another process. */
export const ACK_WAIT_MS = 10_000

/** What the broker answers where there is no such consumer. */
const CONSUMER_NOT_FOUND = 10014

/** As many asks as the broker keeps waiting by itself. */
const ASKS = 512

/** A queue, as the broker has it. */
export type QueueState = {
  /** Requests not handed out yet. */
  waiting: number
  /** Handed out and not acknowledged. */
  inHand: number
  /** Sequence up to which the stream was handed out. */
  delivered: number
  /** Sequence up to which all of it was acknowledged. */
  done: number
  /** Asks that wait for requests to come. */
  asks: number
  isPaused: boolean
  drifts: Drift[]
}

/** The workers' queue, or another one; null where there is none: who takes from it makes it. Throws `log-unavailable`. */
export const readQueue = (
  broker: Broker,
  queue: Queue = renderQueueOf(broker.names),
  timeoutMs?: number,
): Promise<QueueState | null> =>
  administering(
    broker,
    'look at the queue',
    async (jsm) => {
      const info = await findConsumer(jsm, queue)
      return info && stateOf(info, queue)
    },
    timeoutMs,
  )

const stateOf = (info: ConsumerInfo, queue: Queue): QueueState => ({
  waiting: info.num_pending,
  inHand: info.num_ack_pending,
  delivered: info.delivered.stream_seq,
  done: info.ack_floor.stream_seq,
  asks: info.num_waiting,
  isPaused: info.paused === true,
  drifts: driftOf(info.config, rulesFor(queue)),
})

/**
 * Makes the queue where it is missing, resumes it where it is paused, and gives it back its settings: in place where
 * that is enough, else `anew`, as asked for. A new one delivers every request, and whoever takes one finds what came of it. Throws `log-unavailable`.
 */
export const mendQueue = (broker: Broker, queue: Queue, { anew }: { anew: boolean }): Promise<void> =>
  administering(broker, 'mend the queue', async (jsm) => {
    const { stream, consumer } = queue
    const info = await findConsumer(jsm, queue)
    if (!info) return addConsumer(jsm, queue)
    const { drifts } = stateOf(info, queue)
    if (anew || drifts.some(({ mends }) => mends === 'anew')) return remakeConsumer(jsm, queue)
    if (drifts.length > 0) {
      await jsm.consumers.update(stream, consumer, inPlace(drifts))
    }
    if (info.paused) await jsm.consumers.resume(stream, consumer)
  })

export const findConsumer = (jsm: JetStreamManager, { stream, consumer }: Queue) =>
  jsm.consumers.info(stream, consumer).catch((error) => {
    if (isGone(error)) return null
    throw error
  })

/** No limit on deliveries (attempts are counted in the log) nor on messages in hand (delayed naks would stop the queue). */
export async function addConsumer(jsm: JetStreamManager, { stream, consumer, filter }: Queue): Promise<void> {
  await jsm.consumers.add(stream, {
    durable_name: consumer,
    filter_subject: filter,
    deliver_policy: DeliverPolicy.All,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(ACK_WAIT_MS),
    max_deliver: -1,
    max_ack_pending: -1,
  })
}

/** Somebody else may do the same at the same time. */
export async function remakeConsumer(jsm: JetStreamManager, queue: Queue): Promise<void> {
  await jsm.consumers.delete(queue.stream, queue.consumer).catch((error) => {
    if (!isGone(error)) throw error
  })
  await addConsumer(jsm, queue)
}

const isGone = (error: unknown) => error instanceof NatsError && error.api_error?.err_code === CONSUMER_NOT_FOUND

/** A setting under which requests may have been passed over is not mended in place: they would never be delivered. */
const rulesFor = ({ filter }: Queue): Rule<ConsumerConfig>[] => [
  { setting: 'filter_subject', right: filter, mends: 'anew', harm: 'requests are passed over' },
  { setting: 'filter_subjects', right: undefined, mends: 'anew', harm: 'requests are passed over' },
  { setting: 'deliver_policy', right: DeliverPolicy.All, mends: 'anew', harm: 'requests are passed over' },
  { setting: 'max_deliver', right: -1, mends: 'anew', harm: 'requests are given up, unrecorded' },
  { setting: 'backoff', right: undefined, mends: 'anew', harm: 'what a dead process had in hand waits otherwise' },
  {
    setting: 'ack_policy',
    right: AckPolicy.Explicit,
    mends: 'anew',
    harm: 'requests in hand are lost with their process',
  },
  { setting: 'replay_policy', right: ReplayPolicy.Instant, mends: 'anew', harm: 'requests are delivered late' },
  { setting: 'deliver_subject', right: undefined, mends: 'anew', harm: 'nobody can ask it' },
  { setting: 'mem_storage', right: false, mends: 'anew', harm: 'it ends with the broker' },
  {
    ...{ setting: 'max_waiting', right: ASKS, mends: 'anew', harm: 'asks are refused' },
    isFine: ({ max_waiting = 0 }) => max_waiting > ASKS,
  },
  { setting: 'ack_wait', right: nanos(ACK_WAIT_MS), mends: 'in-place', harm: 'signs of life are given for another' },
  { setting: 'max_ack_pending', right: -1, mends: 'in-place', harm: 'so many in hand, or put off, stop the queue' },
  { setting: 'headers_only', right: false, mends: 'in-place', harm: 'requests come without what they ask for' },
  { setting: 'max_batch', right: 0, mends: 'in-place', harm: 'asks are refused' },
  { setting: 'max_bytes', right: 0, mends: 'in-place', harm: 'asks are refused' },
  { setting: 'max_expires', right: 0, mends: 'in-place', harm: 'asks are refused' },
  { setting: 'inactive_threshold', right: 0, mends: 'in-place', harm: 'it goes when nobody asks for so long' },
  { setting: 'num_replicas', right: 0, mends: 'in-place', harm: 'it has not as many copies as its stream' },
]
