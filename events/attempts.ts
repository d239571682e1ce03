import type { RecordedEvent } from './events.ts'

/*
 * What a worker does with a task that it is handed, from the attempt record of the task's generation. Delivery counts
 * are never asked: a broker that was killed may start them again.
 *
 * A start with no end recorded is a crash: the process ended without a word. It may have been this task's doing or a
 * neighbour's, so it counts for nothing, but from then on the task is rendered alone, in a process of its own. Where
 * that process dies its parent lives to record it, and only such recorded crashes count.
 */

/** Counted failures after which a task fails: transient faults that did not pass, or renders that threw. */
export const MAX_FAILURES = 5
/** Recorded crashes of a task's own process after which it fails. */
export const MAX_CRASHES = 3

export type AttemptEvent = RecordedEvent<'TaskStarted' | 'TaskAttemptFailed'>

export type AttemptRecord = {
  /** Highest entry; the next event takes the slot after it. */
  entry: number
  /** Renders begun, those handed back apart. */
  attempts: number
  failures: number
  crashes: number
  /** Starts with no end. */
  unended: readonly number[]
  lastError: { code: string; message: string } | null
}

export const noAttempts: AttemptRecord = {
  entry: 0,
  attempts: 0,
  failures: 0,
  crashes: 0,
  unended: [],
  lastError: null,
}

/** One generation's attempt record after `event`; an entry that was seen already changes nothing. */
export function evolveAttempts(record: AttemptRecord, event: AttemptEvent): AttemptRecord {
  const { entry } = event.data
  if (entry <= record.entry) return record
  if (event.type === 'TaskStarted') {
    return { ...record, entry, attempts: record.attempts + 1, unended: [...record.unended, entry] }
  }
  const { started, counted, error } = event.data
  if (!record.unended.includes(started)) return { ...record, entry } // its end was recorded before
  const unended = record.unended.filter((start) => start !== started)
  if (!counted) return { ...record, entry, unended, attempts: record.attempts - 1 }
  const crashed = error.code === 'render-crashed'
  return {
    ...record,
    entry,
    unended,
    lastError: error,
    crashes: record.crashes + (crashed ? 1 : 0),
    failures: record.failures + (crashed ? 0 : 1),
  }
}

export type Plan =
  | { type: 'render'; isolated: boolean }
  | { type: 'give-up'; error: { code: string; message: string }; attempts: number }

/** The next step for a task with this record. */
export function planAttempt(record: AttemptRecord): Plan {
  const exhausted = record.failures >= MAX_FAILURES || record.crashes >= MAX_CRASHES
  if (exhausted && record.lastError) return { type: 'give-up', error: record.lastError, attempts: record.attempts }
  return { type: 'render', isolated: record.unended.length > 0 || record.crashes > 0 }
}

/** Milliseconds to wait before the next try after `failures` failures: 1 s, 2 s, 4 s … up to a minute. */
export const backoffMs = (failures: number): number => Math.min(1000 * 2 ** Math.max(0, failures - 1), 60_000)
