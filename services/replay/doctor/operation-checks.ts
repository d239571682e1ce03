import { driftText } from '../../platform/drift.ts'
import { operationsOf } from '../../platform/operations.ts'
import { mendQueue, operateQueueOf } from '../../platform/queue-consumer.ts'
import { type Examined, MEND, type Mend, ok, skipped, warning, wrong } from './diagnosis.ts'
import { type Patient, patiently, present } from './patient.ts'
import { mendText } from './queue-checks.ts'

/** Bulk operations: the operators, and the durable consumer that they share. */

const NO_STREAM = 'there is no stream of operations'

export async function checkOperationQueue(patient: Patient): Promise<Examined> {
  const { broker, aggregates, operationQueue } = patient
  if (!(await aggregates())) return skipped('operation-queue', NO_STREAM)
  const name = broker.names.operateConsumer
  const state = await operationQueue()
  if (!state) {
    const { size } = await patiently(operationsOf(broker).versions)
    if (size === 0) return ok('operation-queue', 'no operator has made it yet, and there is no operation')
    const found = `the consumer ${name} is missing; an operator makes it`
    return warning('operation-queue', found, MEND, mending(patient, `makes the consumer ${name}`))
  }
  const { drifts, isPaused, waiting, inHand } = state
  if (drifts.length > 0) return wrong('operation-queue', driftText(drifts), MEND, mending(patient, mendText(drifts)))
  if (!isPaused) return ok('operation-queue', `${name}: ${waiting} operations wait, ${inHand} are in hand`)
  const found = 'somebody has paused it: nothing is delivered'
  return wrong('operation-queue', found, MEND, mending(patient, 'resumes the queue'))
}

/** Whether somebody carries out what was asked for. */
export async function checkOperators(patient: Patient): Promise<Examined> {
  const { aggregates, operationQueue } = patient
  if (!(await aggregates())) return skipped('operators', NO_STREAM)
  const state = await operationQueue()
  const wanting = state ? state.waiting + state.inHand : await countUnfinished(patient)
  const operators = await present(patient, 'operator', wanting > 0)
  const waits = wanting === 0 ? 'no operation waits' : `operations wait or are in hand (${wanting})`
  if (operators.length > 0) return ok('operators', `${operators.length} answer; ${waits}`)
  if (wanting === 0) return ok('operators', `no operator answers, and ${waits}`)
  return wrong('operators', `${waits}, and nobody answers who carries them out`, 'faafo operator')
}

/** Where there is no queue that would tell. */
async function countUnfinished({ broker }: Patient): Promise<number> {
  const operations = operationsOf(broker)
  let count = 0
  for (const [id, version] of await patiently(operations.versions)) {
    const newest = await patiently(() => operations.read(id, version))
    if (newest?.type !== 'OperationEnded') count++
  }
  return count
}

const mending = ({ broker }: Patient, what: string): Mend => ({
  ...{ kind: 'operation-queue', what },
  carryOut: () => mendQueue(broker, operateQueueOf(broker.names), { anew: false }),
})
