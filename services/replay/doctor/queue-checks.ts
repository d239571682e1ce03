import { and, asc, inArray, lte } from 'drizzle-orm'
import { isFaafoError, messageOf } from '../../../events/errors.ts'
import { querying } from '../../platform/database.ts'
import { type Drift, driftText } from '../../platform/drift.ts'
import { oldestWaiting } from '../../platform/oldest-waiting.ts'
import { mendQueue, type QueueState, readQueue, renderQueueOf } from '../../platform/queue-consumer.ts'
import { fractal } from '../../platform/schema.ts'
import { pause } from '../../platform/shutdown.ts'
import { type Examined, MEND, type Mend, ok, skipped, warning, wrong } from './diagnosis.ts'
import { type Patient, patiently, present } from './patient.ts'

/** The workers, and the durable consumer that they share. */

const NO_QUEUE = 'there is no queue'

export async function checkQueue(patient: Patient): Promise<Examined> {
  const { stream, queue, broker } = patient
  const name = broker.names.renderConsumer
  const state = await stream()
  if (!state) return skipped('queue', 'there is no stream')
  try {
    const found = await queue()
    if (found) return ok('queue', `${name}: ${found.waiting} requests wait, ${found.inHand} are in hand`)
  } catch (error) {
    return wrong('queue', messageOf(error), 'see what the broker logs')
  }
  if (state.lastSeq === 0) return ok('queue', 'no worker has made it yet, and there is no request')
  const hasWorkers = (await present(patient, 'worker', false)).length > 0
  const found = `the consumer ${name} is missing${hasWorkers ? ', although workers run' : '; the next worker makes it'}`
  return (hasWorkers ? wrong : warning)('queue', found, MEND, mending(patient, 'queue', `makes the consumer ${name}`))
}

export async function checkQueueConfig(patient: Patient): Promise<Examined> {
  const state = await patient.queue()
  if (!state) return skipped('queue-config', NO_QUEUE)
  const { drifts } = state
  if (drifts.length === 0) return ok('queue-config', 'as the workers make it')
  return wrong('queue-config', driftText(drifts), MEND, mending(patient, 'queue', mendText(drifts)))
}

/** How the settings of a queue are mended. */
export function mendText(drifts: readonly Drift[]): string {
  const changes = drifts.map(({ setting, right }) => `${setting} to ${JSON.stringify(right) ?? 'nothing'}`).join(', ')
  const isAnew = drifts.some(({ mends }) => mends === 'anew')
  return isAnew ? `makes the queue anew, which sets ${changes}` : `sets ${changes}`
}

export async function checkQueuePosition(patient: Patient): Promise<Examined> {
  const [state, log] = [await patient.queue(), await patiently(() => patient.log.head())]
  if (!state) return skipped('queue-position', NO_QUEUE)
  if (state.delivered <= log.lastSeq)
    return ok('queue-position', `requests up to event ${state.delivered} were handed out`)
  const found = `it stands at event ${state.delivered}, beyond event ${log.lastSeq} at which the log ends`
  return wrong('queue-position', `${found}: what is recorded next is not delivered`, MEND, anew(patient))
}

/** Looks at a queue of which workers ask and nothing is delivered, so often, until it counts as stuck. */
const LOOKS = 3
const LOOK_MS = 1_000

export async function checkQueueFlow(patient: Patient): Promise<Examined> {
  const first = await patient.queue()
  if (!first) return skipped('queue-flow', NO_QUEUE)
  if (first.isPaused) {
    const mend = mending(patient, 'queue', 'resumes the queue')
    return wrong('queue-flow', 'somebody has paused it: nothing is delivered', MEND, mend)
  }
  const isIdle = ({ waiting, asks }: QueueState) => waiting > 0 && asks > 0
  for (let look = 0, state: QueueState | null = first; ; look++) {
    if (!state || !isIdle(state) || state.delivered !== first.delivered) break
    if (look === LOOKS) {
      const found = `${state.waiting} requests wait, workers ask for them, and none is delivered`
      return wrong('queue-flow', found, MEND, anew(patient))
    }
    await pause(LOOK_MS, patient.signal)
    state = await patiently(() => readQueue(patient.broker))
  }
  return ok('queue-flow', 'whoever asks is given what is there')
}

/** Longer than this a request should not have to wait for a worker. */
const LONG_WAIT_S = 3_600

export async function checkWorkers(patient: Patient): Promise<Examined> {
  const { stream, queue, db } = patient
  if (!(await stream())) return skipped('workers', 'there is no stream')
  const [state, oldest] = [await queue(), await querying('read the queue', () => oldestWaiting(db)).catch(() => null)]
  const wanting = state ? state.waiting + state.inHand : oldest ? 1 : 0
  const workers = await present(patient, 'worker', wanting > 0)
  const waits = state ? `${wanting} requests wait or are in hand` : 'requests wait'
  if (workers.length === 0) {
    return wanting === 0
      ? ok('workers', 'no worker runs, and no request waits')
      : wrong('workers', `${waits}, and no worker was heard of`, 'faafo worker')
  }
  const blocked = workers.filter((worker) => worker.state === 'blocked')
  const remedy = 'mend that; they then go on by themselves'
  const reasons = [...new Set(blocked.map(({ reason }) => reason))].join('; ')
  if (blocked.length === workers.length) return wrong('workers', `every worker takes no work: ${reasons}`, remedy)
  if (blocked.length > 0) {
    return warning('workers', `${blocked.length} of ${workers.length} workers take no work: ${reasons}`, remedy)
  }
  const threads = workers.reduce((sum, worker) => sum + (worker.threads ?? 0), 0)
  const who = workers.length === 1 ? '1 worker' : `${workers.length} workers`
  const found = `${who} with ${threads} threads; ${wanting === 0 ? 'no request waits' : waits}`
  if (state && state.waiting > 0 && oldest && oldest.seconds > LONG_WAIT_S) {
    const hours = (oldest.seconds / 3_600).toFixed(1)
    return warning('workers', `${found}; ${oldest.uuid} waits for ${hours} hours`, 'start more of them: faafo worker')
  }
  return ok('workers', found)
}

/** Unfinished fractals that are looked up at most, and told by uuid. */
const CANDIDATES = 200
const NAMED = 3

/**
 * Requests with no outcome, of which the queue believes that they are done: nobody ever takes them. A worker
 * acknowledges a request once its outcome is recorded, so there are none, unless the log lost its end and went on.
 */
export async function checkRequests(patient: Patient): Promise<Examined> {
  const { queue, db, log, broker } = patient
  const state = await queue()
  if (!state) return skipped('requests', NO_QUEUE)
  const { done } = state // read before the rows, and those before the slots: what is done by then has its outcome
  await patient.checkpoint()
  const rows = await querying('read unfinished fractals', () =>
    db
      .select({ uuid: fractal.uuid, generation: fractal.generation })
      .from(fractal)
      .where(
        and(
          inArray(fractal.status, ['requested', 'rendering']),
          lte(fractal.firstSeq, done),
          lte(fractal.lastSeq, done),
        ),
      )
      .orderBy(asc(fractal.firstSeq))
      .limit(CANDIDATES),
  )
  const { names } = broker
  const forgotten: string[] = []
  for (const { uuid, generation } of rows) {
    const read = (subject: string) =>
      patiently(() => log.read(subject)).catch((error) => {
        if (isFaafoError(error, 'undecodable-event')) return 'unreadable' as const
        throw error
      })
    const request = await read(names.requested(uuid, generation))
    if (request === null || request === 'unreadable' || request.seq > done) continue
    if ((await read(names.outcome(uuid, generation))) || (await read(names.removed(uuid)))) continue
    forgotten.push(uuid)
  }
  if (forgotten.length === 0) return ok('requests', 'none that the queue has passed is without an outcome')
  const found = `the queue has passed requests that have no outcome: ${some(forgotten)}`
  return wrong('requests', `${found}; no worker will take them`, MEND, anew(patient))
}

/** Ids, the first of them by name. */
export const some = (ids: readonly string[]): string =>
  `${ids.slice(0, NAMED).join(', ')}${ids.length > NAMED ? ` and ${ids.length - NAMED} more` : ''}`

const anew = (patient: Patient): Mend =>
  mending(
    patient,
    'queue-anew',
    'makes the queue anew: every request is delivered once more, done ones are passed over',
  )

const mending = ({ broker }: Patient, kind: 'queue' | 'queue-anew', what: string): Mend => ({
  ...{ kind, what },
  carryOut: () => mendQueue(broker, renderQueueOf(broker.names), { anew: kind === 'queue-anew' }),
})
