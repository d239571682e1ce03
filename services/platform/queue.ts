import { NatsError } from 'nats'
import type { Broker } from './broker.ts'

/** `waiting`: requests not handed to a worker yet; `inHand`: handed out and not acknowledged. */
export type QueueDepth = { waiting: number; inHand: number }

const CONSUMER_NOT_FOUND = 10014
const TIMEOUT_MS = 1_000

/** null where no worker has made the durable consumer yet. Throws while the broker does not answer. */
export async function readQueueDepth(broker: Broker): Promise<QueueDepth | null> {
  const jsm = await broker.nc().jetstreamManager({ checkAPI: false, timeout: TIMEOUT_MS })
  try {
    const info = await jsm.consumers.info(broker.names.stream, broker.names.renderConsumer)
    return { waiting: info.num_pending, inHand: info.num_ack_pending }
  } catch (error) {
    if (error instanceof NatsError && error.api_error?.err_code === CONSUMER_NOT_FOUND) return null
    throw error
  }
}
