import { cursorPattern, parseCursor } from '../../events/cursor.ts'
import type { Parked } from '../../events/parked.ts'
import type { HeldRow } from '../platform/schema.ts'
import type { ProjectorParts } from '../projector/fold-log.ts'
import { dropEvent, faultNow, type Pace, parkEvent, parkedRow, parkedRows, retryEvents } from './park-events.ts'
import { changeTask } from './park-tasks.ts'
import { type ItemFilter, listParked, type ParkedItem, type ShownEvent, showEvent } from './parked-items.ts'
import type { Place } from './place.ts'
import { requireUuid } from './uuid.ts'

/** What a retry came to. */
export type Tried = {
  /** A cursor, or the fractal's uuid. */
  id: string
  fractal: string
  /** Events of the fractal that count again. */
  applied: number
  /** Why one of them cannot be handled, so that the fractal stays held back; null where none is left. */
  error: string | null
}

export type DryRun = { dryRun?: boolean }

/** `signal` ends it with `aborted`. */
export type Going<Progress> = { signal?: AbortSignal | undefined; onProgress?: (progress: Progress) => void }

/**
 * What could not be handled: events, named by their cursors, and tasks that exhausted their tries, named by the uuids of
 * their fractals. With `dryRun` nothing is changed.
 */
export type Park = {
  /** Events in the order of the log, then tasks in the order of their requests; all of them unless there is a `limit`. */
  list(options?: ItemFilter & { limit?: number }): Promise<ParkedItem[]>
  /** An event as it stands in the log, and what was decided about it. Throws `not-found`, `log-replaced`. */
  show(cursor: string): Promise<ShownEvent>
  /**
   * Has projectors go on past an event that this program cannot read, or at which the projector halted: its fractal is
   * held back, as it was. One that is parked, or was dropped, stays so. Throws `not-found`, `log-replaced`, and
   * `illegal-transition` for an event that is none of these.
   */
  event(cursor: string, options?: DryRun): Promise<Parked>
  /**
   * Tries an event again, with what waits for it; has a task rendered again. Throws `not-found` where that is not parked,
   * and of a task `illegal-transition`, `removed`, `log-full`.
   */
  retry(id: string, options?: DryRun): Promise<Tried>
  /**
   * Tries all parked events again, or those of some types, in the order of the log, at most `rate` a second. Aborted, it
   * is done again: what was applied is parked no more.
   */
  retryAll(
    options?: DryRun & Going<{ done: number; total: number }> & { types?: readonly string[]; rate?: number },
  ): Promise<Tried[]>
  /**
   * Has an event count for nothing, whoever reads the log; deletes the fractal of a task. Nothing brings back what was
   * dropped. Throws as `event` and `retry`.
   */
  drop(id: string, options?: DryRun): Promise<void>
}

export const parkAt = ({ onDatabase, onTables }: Place): Park => ({
  list: (options) => onDatabase((db) => listParked(db, options)),

  show: (cursor) => onTables(undefined, async (parts) => showEvent(parts, parseCursor(cursor))),

  event: (cursor, options) => onTables(undefined, async (parts) => parkEvent(parts, parseCursor(cursor), options)),

  retry: (id, { dryRun = false } = {}) =>
    onTables(undefined, async ({ signal, ...parts }) => {
      if (cursorPattern.test(id)) {
        const [tried] = await retryRows(parts, [await parkedRow(parts, parseCursor(id))], { dryRun, signal })
        return tried as Tried
      }
      const fractal = requireUuid(id)
      await changeTask(parts.log, fractal, 'retry', { dryRun })
      return { id: fractal, fractal, applied: 0, error: null }
    }),

  retryAll: ({ types, rate, dryRun = false, signal: asked, onProgress = () => {} } = {}) =>
    onTables(asked, async ({ signal, ...parts }) =>
      retryRows(parts, await parkedRows(parts, types), {
        ...{ dryRun, rate, signal },
        onProgress: (done, total) => onProgress({ done, total }),
      }),
    ),

  drop: (id, options) =>
    onTables(undefined, async (parts) => {
      if (cursorPattern.test(id)) await dropEvent(parts, parseCursor(id), options)
      else await changeTask(parts.log, requireUuid(id), 'drop', options)
    }),
})

async function retryRows(
  parts: ProjectorParts,
  rows: readonly HeldRow[],
  { dryRun, ...pace }: Pace & { dryRun: boolean },
): Promise<Tried[]> {
  const tried: Tried[] = []
  if (dryRun) {
    for (const { cursor: id, fractal, seq } of rows) {
      tried.push({ id, fractal, applied: 0, error: await faultNow(parts, seq) })
    }
    return tried
  }
  for await (const { cursor: id, fractal, applied, stuck } of retryEvents(parts, rows, pace)) {
    tried.push({ id, fractal, applied, error: stuck?.error ?? null })
  }
  return tried
}
