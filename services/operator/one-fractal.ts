import { isFaafoError } from '../../events/errors.ts'
import type { NewEvent } from '../../events/events.ts'
import { type Counts, type Operation, verdictOn } from '../../events/operation.ts'
import { isFractal } from '../../events/task.ts'
import { changeFractal } from '../platform/change.ts'
import { identify } from '../platform/identity.ts'
import type { Log } from '../platform/log.ts'
import type { Matching } from './matching.ts'
import type { Pace } from './pace.ts'

/** How long one append may take before it counts as an outage. */
const APPEND_MS = 5_000

export type FractalParts = { log: Log; matching: Matching; pace: Pace; source: string }

/** What came of it; null: it was left alone for now. */
export type Result = keyof Counts | null

/**
 * Carries the operation out on one fractal. `matchedAt`: the event by which its row stands, undefined where that does
 * not match (any more). A row that the log is ahead of is looked at again once it has caught up: what is decided from is
 * the state that the filter was held against. Nothing is changed any more once `halt` has fired, and nothing waited for
 * once `enough` has. Throws `log-unavailable`, `log-full`, `database-unavailable`.
 */
export async function changeOne(
  { log, matching, pace, source }: FractalParts,
  operation: Operation,
  { uuid: fractal, matchedAt }: { uuid: string; matchedAt: number | undefined },
  { halt, enough }: { halt: AbortSignal; enough: AbortSignal },
): Promise<Result> {
  const { action, cause, traceparent } = operation
  let seenAt = matchedAt
  let result: Result = 'unchanged'
  const append = (event: NewEvent, links: { correlationid?: string; causationid?: string }) =>
    log.append(identify(event, source, { ...links, ...(traceparent && { traceparent }) }), { withinMs: APPEND_MS })
  try {
    await changeFractal({ history: log.history, append }, { fractal, action, cause }, async (history, task) => {
      const verdict = verdictOn(operation, fractal, history)
      result = verdict.type === 'done' ? 'changed' : 'unchanged'
      if (verdict.type !== 'change') return []
      result = null
      if (!verdict.begun) {
        if (operation.status === 'stopping') return []
        if (seenAt !== undefined && isFractal(task) && task.last.seq !== seenAt) {
          if (seenAt > task.last.seq) {
            result = 'unreadable' // the row was read before the history: it has an event that was dropped since
            return []
          }
          await matching.reached(task.last.seq, enough)
          seenAt = (await matching.among([fractal])).get(fractal)
          if (enough.aborted) return []
          if (seenAt !== undefined && seenAt > task.last.seq) return null
          if (seenAt !== undefined && seenAt < task.last.seq) {
            result = 'unreadable' // the table is past that event, and holds it back
            return []
          }
        }
        if (seenAt === undefined) {
          result = 'unchanged'
          return []
        }
        if (!(await pace(enough))) return []
      }
      if (halt.aborted) return []
      result = 'changed'
      return verdict.events
    })
  } catch (error) {
    // A dropped event in the slot, for the latter: what is decided here is legal.
    if (isFaafoError(error, 'undecodable-event') || isFaafoError(error, 'illegal-transition')) return 'unreadable'
    throw error
  }
  return result
}
