import { sql } from 'drizzle-orm'
import { FaafoError, isFaafoError, messageOf } from '../../events/errors.ts'
import {
  type Counts,
  decide,
  evolve,
  isOver,
  nothingYet,
  type Operation,
  type OperationCommand,
  type OperationEvent,
} from '../../events/operation.ts'
import { type Db, isUndefinedTable, NO_ANSWER, rootCause } from '../platform/database.ts'
import { identify } from '../platform/identity.ts'
import type { Logger } from '../platform/logger.ts'
import { loadOperation, type Operations } from '../platform/operations.ts'
import { pause } from '../platform/shutdown.ts'
import { BATCH_MS, dealWith } from './deal-with.ts'
import { createMatching, type Matching, type MatchingParts } from './matching.ts'
import { createPace } from './pace.ts'

const FIRST_BATCH = 100
const MOST_IN_BATCH = 1_000
/** How often it is looked whether somebody stopped the operation, or took it over. */
const LOOK_MS = 1_000
const MAX_BACKOFF_MS = 2_000
/** Answers in a row that the database does not give in time, although it answers others, after which an operation is ended. */
const MOST_SLOW = 3
/** Failures in a row, of a kind that does not pass by itself, after which an operation is ended. */
const MOST_FAILURES = 10

export type OperatorParts = MatchingParts & { operations: Operations; logger: Logger; source: string }

/** `over`: nothing is left to do. `lost`: another operator has it in hand. `stopped`: `signal` fired. */
export type Ending = 'over' | 'lost' | 'stopped'

/**
 * Carries an operation out, from wherever it stands, until it is over. Outages are waited out; what does not pass by
 * itself ends it as failed. Of several that do so at the same time, one goes on: each version of the operation is a
 * slot, and who loses one leaves.
 */
export async function carryOut(parts: OperatorParts, id: string, signal: AbortSignal): Promise<Ending> {
  const logger = parts.logger.child({ operation: id })
  let failures = 0
  let slow = 0
  let tries = 0
  while (!signal.aborted) {
    try {
      return await proceed({ ...parts, logger }, id, signal, () => {
        failures = 0
        slow = 0
        tries = 0
      })
    } catch (thrown) {
      if (signal.aborted) break
      const error = await slownessIn(parts.db, thrown)
      const isSlow = error !== thrown
      const passes = isOutage(error)
      if (isSlow) slow++
      if (!passes) failures++
      const bound = passes ? { reason: messageOf(rootCause(error)) } : { err: rootCause(error) }
      if (tries++ % 60 === 0 || !passes) logger[passes ? 'warn' : 'error'](bound, 'operation interrupted')
      if ((isFinal(error) && !isSlow) || slow >= MOST_SLOW || failures >= MOST_FAILURES) {
        const reason = isFaafoError(error) ? error.message : "something failed; the operator's log says what"
        const ended = await end(parts, id, reason, signal).catch(() => false) // tried again, like all else
        if (ended) return 'over'
      }
      await pause(Math.min(MAX_BACKOFF_MS, 100 * 2 ** Math.min(tries, 10)), signal)
    }
  }
  return 'stopped'
}

const isOutage = (error: unknown) =>
  isFaafoError(error, 'log-unavailable') ||
  isFaafoError(error, 'log-full') ||
  isFaafoError(error, 'database-unavailable') ||
  isUndefinedTable(error) // the projector is about to make it

const isFinal = (error: unknown) => isFaafoError(error, 'log-replaced') || isFaafoError(error, 'invalid-request')

/** Where the database answers others, an answer that did not come in time is no outage: the filter takes too long. */
async function slownessIn(db: Db, error: unknown): Promise<unknown> {
  if (!isFaafoError(error, 'database-unavailable') || error.details.reason !== NO_ANSWER) return error
  try {
    await db.execute(sql`select 1`)
  } catch {
    return error
  }
  const reason = 'its filter takes the database too long; request several operations that each ask for less'
  return new FaafoError('invalid-request', `cannot go on: ${reason}`, { cause: error })
}

async function end(parts: OperatorParts, id: string, reason: string, signal: AbortSignal): Promise<boolean> {
  const operation = await loadOperation(parts.operations, id)
  if (!operation || isOver(operation)) return true
  const { done, rest } = await countBatch(parts, operation, signal)
  if (signal.aborted) return false
  const uncounted = rest > 0 ? `; ${rest} fractals that were in hand may have been changed and are not counted` : ''
  return (await append(parts, operation, { type: 'fail', done, reason: `${reason}${uncounted}` })).won
}

/** What was done to the batch in hand, as for one that is to stop: what is begun is brought to its end. */
async function countBatch(parts: OperatorParts, operation: Operation, signal: AbortSignal) {
  try {
    const matching = createMatching(parts, operation)
    const stopping: Operation = { ...operation, status: 'stopping' }
    const { counts } = await dealWith({ ...parts, matching, pace: createPace(null) }, stopping, signal)
    return { done: counts, rest: 0 }
  } catch (error) {
    if (isOutage(error)) throw error
    return { done: nothingYet, rest: operation.batch.length }
  }
}

/** From where it stands now. Throws where something is away, or will not do. */
async function proceed(parts: OperatorParts, id: string, signal: AbortSignal, onProgress: () => void): Promise<Ending> {
  const { operations, logger } = parts
  let operation = await loadOperation(operations, id)
  if (!operation || isOver(operation)) return 'over'
  const matching = createMatching(parts, operation)
  const pace = createPace(operation.rate)
  let size = Math.ceil(Math.min(operation.rate ?? FIRST_BATCH, FIRST_BATCH))

  while (!isOver(operation)) {
    const look = lookForNext(operations, operation, signal)
    let holder: OperationEvent | null
    try {
      const startedAt = Date.now()
      if (operation.status !== 'stopping') await matching.ready(look.taken)
      const { counts, rest, dealtWith } = await dealWith({ ...parts, matching, pace }, operation, look.taken)
      if (signal.aborted) return 'stopped'
      if (dealtWith > 0) size = sizeAfter(dealtWith, Date.now() - startedAt)
      else if (rest.length > 0 && operation.status !== 'stopping' && !look.taken.aborted) continue
      if (look.taken.aborted) holder = await operations.read(id, operation.version + 1)
      else {
        const command = await nextStep(operation, matching, { done: counts, rest, size })
        const { won, event } = await append(parts, operation, command)
        if (won) operation = evolve(operation, event) ?? operation
        holder = won ? null : event
      }
    } finally {
      look.end()
    }
    onProgress()
    if (holder?.type === 'OperationProgressed') {
      logger.info('another operator goes on with it')
      return 'lost'
    }
    if (holder) operation = (await loadOperation(operations, id)) ?? operation // to be stopped, or ended
  }
  const { status, reason, counts } = operation
  logger.info({ status, ...(reason !== null && { reason }), ...counts }, 'operation over')
  return 'over'
}

/** `taken` fires once there is a next version, which is somebody else's, or `signal` fires. */
function lookForNext(operations: Operations, { id, version }: Operation, signal: AbortSignal) {
  const found = new AbortController()
  const abort = () => found.abort()
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  const look = () =>
    operations.read(id, version + 1).then(
      (event) => event && abort(),
      () => {}, // what is away says so elsewhere
    )
  const timer = setInterval(look, LOOK_MS)
  const end = () => {
    clearInterval(timer)
    signal.removeEventListener('abort', abort)
  }
  return { taken: found.signal, end }
}

/** Fractals that take about as long as a batch is to take. */
const sizeAfter = (dealtWith: number, ms: number) =>
  Math.min(MOST_IN_BATCH, Math.max(1, Math.round((dealtWith * BATCH_MS) / Math.max(1, ms))))

async function nextStep(
  operation: Operation,
  matching: Matching,
  { done, rest, size }: { done: Counts; rest: string[]; size: number },
): Promise<OperationCommand> {
  const { matched, last, status } = operation
  if (status === 'stopping') return { type: 'advance', matched, done, rest: [], next: [] }
  const next = size > rest.length ? await matching.after(last, size - rest.length) : []
  return { type: 'advance', matched: matched ?? (await matching.count()), done, rest, next }
}

async function append({ operations, source }: OperatorParts, operation: Operation, command: OperationCommand) {
  const [event] = decide(command, operation.id, operation)
  if (!event) throw new Error(`operation '${operation.id}' is over and goes on`)
  const links = { causationid: operation.cause, correlationid: operation.cause }
  return operations.append(identify(event, source, links), { withinMs: 5_000 })
}
