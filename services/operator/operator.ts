import { setMaxListeners } from 'node:events'
import { isFaafoError } from '../../events/errors.ts'
import type { OperationEvent } from '../../events/operation.ts'
import type { Broker } from '../platform/broker.ts'
import { ACK_WAIT_MS } from '../platform/queue-consumer.ts'
import { pause } from '../platform/shutdown.ts'
import type { Delivery, WorkQueue } from '../platform/work-queue.ts'
import { carryOut, type OperatorParts } from './carry-out.ts'

const WORKING_MS = Math.floor(ACK_WAIT_MS / 3)
const ASK_AGAIN_MS = 250
/** A message that this version cannot read waits so long for a newer operator. */
const UNREADABLE_MS = 30_000
/** Operations that are carried out at the same time; more wait for their turn, or for another operator. */
const MOST_IN_HAND = 16

/**
 * Takes bulk operations from the queue and carries them out until `stop` fires; those in hand are then handed back, and
 * go on elsewhere from where they stand.
 */
export async function runOperator(
  parts: OperatorParts & { broker: Pick<Broker, 'isConnected'>; queue: WorkQueue<OperationEvent> },
  stop: AbortSignal,
): Promise<void> {
  const { broker, queue, logger } = parts
  /** By id of the operation; the newest delivery is the one to be settled. */
  const inHand = new Map<string, { delivery: Delivery<OperationEvent> }>()
  let wake = () => {}
  const released = () =>
    new Promise<void>((done) => {
      wake = done
    })

  function take(delivery: Delivery<OperationEvent>): void {
    let id: string
    try {
      id = delivery.event().aggregate
    } catch (error) {
      logger.error({ err: error }, 'operation cannot be read')
      delivery.nak(UNREADABLE_MS)
      return
    }
    const known = inHand.get(id)
    if (known) {
      known.delivery = delivery
      return
    }
    const operation = { delivery }
    inHand.set(id, operation)
    logger.info({ operation: id }, 'operation taken')
    void carryOut(parts, id, stop).then((ending) => {
      inHand.delete(id)
      if (ending === 'over') operation.delivery.ack()
      else if (ending === 'stopped') operation.delivery.nak(0)
      wake() // one that was lost is acknowledged by whoever goes on with it
    })
  }

  const working = () => {
    if (broker.isConnected()) for (const { delivery } of inHand.values()) delivery.working()
  }
  const timer = setInterval(working, WORKING_MS)
  setMaxListeners(0, stop) // every operation listens
  stop.addEventListener('abort', () => wake(), { once: true })
  try {
    while (!stop.aborted) {
      const room = MOST_IN_HAND - inHand.size
      try {
        if (room === 0) await released()
        else for await (const delivery of queue.ask(room, stop)) take(delivery)
      } catch (error) {
        if (stop.aborted) break
        if (!isFaafoError(error, 'log-unavailable')) logger.error({ err: error }, 'intake failed')
        await pause(ASK_AGAIN_MS, stop)
      }
    }
    while (inHand.size > 0) await released()
  } finally {
    clearInterval(timer)
  }
}
