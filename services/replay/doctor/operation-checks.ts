import { isFaafoError } from '../../../events/errors.ts'
import { driftText } from '../../platform/drift.ts'
import { operationsOf } from '../../platform/operations.ts'
import { mendQueue, operateQueueOf } from '../../platform/queue-consumer.ts'
import { type Examined, MEND, type Mend, ok, skipped, warning, wrong } from './diagnosis.ts'
import { type Patient, patiently, present } from './patient.ts'
import { mendText, some } from './queue-checks.ts'

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
  const wanting = state ? state.waiting + state.inHand : (await unfinished(patient)).length
  const operators = await present(patient, 'operator', wanting > 0)
  const waits = wanting === 0 ? 'no operation waits' : `operations wait or are in hand (${wanting})`
  if (operators.length > 0) return ok('operators', `${operators.length} answer; ${waits}`)
  if (wanting === 0) return ok('operators', `no operator answers, and ${waits}`)
  return wrong('operators', `${waits}, and nobody answers who carries them out`, 'faafo operator')
}

/**
 * Operations without an end, of which the queue believes that they are done: nobody ever takes them. An operator
 * acknowledges one once its end is recorded, so there are none, unless the stream lost its end and went on.
 */
export async function checkOperations(patient: Patient): Promise<Examined> {
  const { broker, aggregates, operationQueue } = patient
  if (!(await aggregates())) return skipped('operations', NO_STREAM)
  const { done } = (await operationQueue()) ?? { done: 0 } // read before the operations: what is done by then has its end
  const forgotten: string[] = []
  for (const id of done === 0 ? [] : await unfinished(patient)) {
    const request = await patiently(() => operationsOf(broker).read(id, 1))
    if (request && request.seq <= done) forgotten.push(id)
  }
  if (forgotten.length === 0) return ok('operations', 'none that the queue has passed is without an end')
  const found = `the queue has passed operations that have no end: ${some(forgotten)}; no operator will take them`
  const what = 'makes the queue anew: every operation is delivered once more, those that are over are passed over'
  return wrong('operations', found, MEND, mending(patient, what, { anew: true }))
}

/** Ids of operations; not of those whose newest event only a newer version can read. */
async function unfinished({ broker }: Patient): Promise<string[]> {
  const operations = operationsOf(broker)
  const found: string[] = []
  for (const [id, version] of await patiently(operations.versions)) {
    const newest = await patiently(() => operations.read(id, version)).catch((error) => {
      if (isFaafoError(error, 'undecodable-event')) return null
      throw error
    })
    if (newest && newest.type !== 'OperationEnded') found.push(id)
  }
  return found
}

const mending = ({ broker }: Patient, what: string, { anew = false } = {}): Mend => ({
  ...{ kind: anew ? 'operation-queue-anew' : 'operation-queue', what },
  carryOut: () => mendQueue(broker, operateQueueOf(broker.names), { anew }),
})
