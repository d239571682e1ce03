import type { RecordedEvent } from '../../events/events.ts'
import { evolve, isFractal, type Task, unknown } from '../../events/task.ts'
import { rowOf } from '../platform/fractal-row.ts'
import type { FractalRow } from '../platform/schema.ts'

export type Changes = { upserts: FractalRow[]; deletes: string[] }

/** Hears each event and the state that it meets; of a fractal that was deleted in an earlier batch that is `unknown`. */
export type Observer = (before: Task, event: RecordedEvent) => void

/**
 * What a batch of events does to the table, given the states of the fractals that it names (absent: no row).
 *
 * A removed fractal leaves no row behind, so that a later event of it meets `unknown`. That is as good as a tombstone:
 * `unknown` takes nothing but TaskRequested of generation 1, whose slot was filled before the TaskDeleted.
 */
export function project(
  rows: ReadonlyMap<string, Task>,
  events: readonly RecordedEvent[],
  observe: Observer = () => {},
): Changes {
  const touched = new Map<string, Task>()
  for (const event of events) {
    const before = touched.get(event.fractal) ?? rows.get(event.fractal) ?? unknown
    observe(before, event)
    const after = evolve(before, event)
    if (after !== before) touched.set(event.fractal, after)
  }
  const changes: Changes = { upserts: [], deletes: [] }
  for (const [uuid, task] of touched) {
    if (isFractal(task)) changes.upserts.push(rowOf(task))
    else if (rows.has(uuid)) changes.deletes.push(uuid)
  }
  return changes
}
