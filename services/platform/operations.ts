import { decodeAggregate } from '../../events/aggregate.ts'
import { fold, type Operation, type OperationEvent, type OperationKind, operationKind } from '../../events/operation.ts'
import { type Aggregates, aggregatesOf } from './aggregates.ts'
import type { Broker } from './broker.ts'
import type { Logger } from './logger.ts'
import { operateQueueOf } from './queue-consumer.ts'
import { type WorkQueue, workQueue } from './work-queue.ts'

/** The bulk operations of the second stream. */
export type Operations = Aggregates<OperationKind>

export const operationsOf = (broker: Broker): Operations => aggregatesOf(broker, operationKind)

/** null where there is none of that id. Throws `log-unavailable`. */
export async function loadOperation(operations: Operations, id: string): Promise<Operation | null> {
  const [first, newest] = await Promise.all([operations.read(id, 1), operations.newest(id)])
  return fold([first, newest].filter((event) => event !== null))
}

/** The queue of requested operations that all operators share. */
export function operationQueue(broker: Broker, logger: Logger): WorkQueue<OperationEvent> {
  return workQueue(broker, logger, {
    ...operateQueueOf(broker.names),
    decode: (message, position): OperationEvent => decodeAggregate(operationKind, message, position),
  })
}
