import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { readCheckpoint } from '../platform/checkpoint.ts'
import type { Db } from '../platform/database.ts'
import type { LogPosition } from '../platform/log-reader.ts'
import type { CheckpointRow } from '../platform/schema.ts'
import { pause } from '../platform/shutdown.ts'
import type { Copy } from './apply-batch.ts'
import type { Change } from './change-places.ts'
import { fenceOff } from './copies.ts'
import { foldLog, type ProjectorParts } from './fold-log.ts'

/** First and longest pause after readers kept a table from changing places: they are let through meanwhile. */
const LOCKED_MS = 1_000
const LONGEST_LOCKED_MS = 10_000

/** Goes on folding, and tries at every new position to change places; resolves to the sequence where it did. */
export async function changeAtEnd(
  parts: ProjectorParts,
  copy: Copy,
  { signal }: { signal: AbortSignal },
  change: (position: LogPosition) => Promise<Change>,
): Promise<number> {
  let changedAt: number | undefined
  let lockedMs = LOCKED_MS
  async function isDone(position: LogPosition): Promise<boolean> {
    throwIfAborted(signal)
    const live = await readCheckpoint(parts.db)
    if (live && live.seq > position.seq && live.seq <= (await parts.log.head()).lastSeq) return false
    const changed = await change(position).catch((error) => whatBecameOf(parts.db, copy, live, { error, signal }))
    if (changed === 'done') changedAt = position.seq
    if (changed === 'locked') {
      parts.logger.warn({ again: `in ${lockedMs / 1000} s` }, 'readers hold the table, it takes over later')
      await pause(lockedMs, signal)
      lockedMs = Math.min(2 * lockedMs, LONGEST_LOCKED_MS)
    }
    return changed === 'done'
  }
  while (changedAt === undefined) {
    // Without news there is no new position, so that it is opened again.
    const quiet = new AbortController()
    const timer = setTimeout(() => quiet.abort(), lockedMs)
    try {
      await foldLog(parts, { copy, signal: AbortSignal.any([signal, quiet.signal]), isDone })
    } finally {
      clearTimeout(timer)
    }
    if (changedAt === undefined) throwIfAborted(signal)
  }
  return changedAt
}

/** How long a database that went away in the middle of a change is waited for, to see what became of that. */
const SETTLING_MS = 60_000

/** Whether a change happened whose answer was lost; where it did not, it cannot any more. Throws the `error` then, and where nobody can tell. */
async function whatBecameOf(
  db: Db,
  copy: Copy,
  before: CheckpointRow | null,
  { error, signal }: { error: unknown; signal: AbortSignal },
): Promise<'done'> {
  if (!isFaafoError(error, 'database-unavailable')) throw error
  const until = Date.now() + SETTLING_MS
  for (let happened: boolean | undefined; happened !== true; ) {
    try {
      happened = !(await fenceOff(db, copy)) && ((await readCheckpoint(db))?.epoch ?? 0) > (before?.epoch ?? 0)
    } catch (again) {
      if (!isFaafoError(again, 'database-unavailable')) throw again
      if (signal.aborted || Date.now() > until) throw unsettled(error)
      await pause(LOCKED_MS, signal)
    }
    if (happened === false) throw error
  }
  return 'done'
}

const unsettled = (cause: FaafoError) =>
  new FaafoError(
    'database-unavailable',
    `${cause.message}; the tables may or may not have changed places: see faafo replay doctor once the database is back`,
    { cause },
  )

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new FaafoError('aborted', 'cannot go on: it was interrupted; nothing was changed')
}
