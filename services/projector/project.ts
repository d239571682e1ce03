import type { RecordedEvent } from '../../events/events.ts'
import { evolve, isFractal, type Task, unknown } from '../../events/task.ts'
import type { Version } from '../platform/fractal-row.ts'

export type Changes = {
  /** Every state that the events led to, in their order; `isCurrent`: the last of its fractal, which is not removed. */
  versions: { state: Version; isCurrent: boolean }[]
  /** Fractals whose row goes. */
  deletes: string[]
  /** What the events left of each fractal that they changed. */
  states: ReadonlyMap<string, Task>
}

/** Hears each event and the state that it meets; of a fractal that was deleted in an earlier batch that is `unknown`. */
export type Observer = (before: Task, event: RecordedEvent) => void

/**
 * What a batch of events does to the tables, given the states of the fractals that it names (absent: no row).
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
  const changes: Changes = { versions: [], deletes: [], states: touched }
  const current = new Map<string, Changes['versions'][number]>()
  for (const event of events) {
    const before = touched.get(event.fractal) ?? rows.get(event.fractal) ?? unknown
    observe(before, event)
    const after = evolve(before, event)
    if (after === before) continue
    touched.set(event.fractal, after)
    const superseded = current.get(event.fractal)
    if (superseded) superseded.isCurrent = false
    const state = versionOf(before, after, event)
    if (!state) continue
    const version = { state, isCurrent: state === after }
    changes.versions.push(version)
    if (version.isCurrent) current.set(event.fractal, version)
  }
  for (const [uuid, task] of touched) if (!isFractal(task) && rows.has(uuid)) changes.deletes.push(uuid)
  return changes
}

/** What is kept of the state that an event led to: of a removed fractal the one before, as it ended; none where there was none. */
export function versionOf(before: Task, after: Task, event: RecordedEvent): Version | undefined {
  if (isFractal(after)) return after
  return isFractal(before) ? { ...before, ...endedBy(event) } : undefined
}

const endedBy = ({ seq, id, recordedAt }: RecordedEvent) => ({
  status: 'deleted' as const,
  last: { seq, id },
  updatedAt: recordedAt,
})
