import { foldParked, parkedIdOf } from '../../events/parked.ts'
import { readCheckpoint } from '../platform/checkpoint.ts'
import { droppedEvents, loadParked, parkedDataOf, parkedEvents } from '../platform/parked-events.ts'
import type { DecisionOn, ProjectorParts } from '../projector/fold-log.ts'
import { readParked } from '../projector/held-events.ts'
import { appliedElsewhere, type Finding, stillParked, unreadable } from './findings.ts'

/**
 * For a fold that is to come to the log's end: it goes past every event that it cannot handle, as if each were parked.
 * `findings`: those events, and what the served tables hold back although this program could read it.
 */
export function passUnhandled({ db, broker }: ProjectorParts): {
  decisionOn: DecisionOn
  findings(): Promise<Finding[]>
  /** Fractals of which something was dropped: what follows may seem impossible. */
  excused(): Promise<ReadonlySet<string>>
} {
  const parked = parkedEvents(broker)
  const met = new Map<string, { seq: number; error: string; isParked: boolean }>()
  return {
    async decisionOn(message, { message: error }) {
      const decided = await loadParked(parked, message)
      const id = parkedIdOf(message)
      if (decided?.status !== 'dropped') met.set(id, { seq: message.seq, error, isParked: decided !== null })
      const asIfParked = { status: 'parked', id, tries: 1, since: message.recordedAt, version: 0 } as const
      return decided ?? { ...asIfParked, ...parkedDataOf(message, broker.names, error) }
    },
    async excused() {
      const dropped = [...(await droppedEvents(broker))]
      const records = await Promise.all(dropped.map((id) => parked.history(id)))
      return new Set(records.flatMap((history) => foldParked(history)?.fractal ?? []))
    },
    async findings() {
      const [row, held] = await Promise.all([readCheckpoint(db), readParked(db)])
      const isHeld = new Set(held.map(({ cursor }) => cursor))
      const unhandled = [...met].map(([id, { seq, error, isParked }]) => {
        if (!isHeld.has(id) && seq <= (row?.seq ?? 0)) return appliedElsewhere(id, error)
        return isParked ? stillParked(id, error) : unreadable(id, error)
      })
      return [...unhandled, ...held.filter(({ cursor }) => !met.has(cursor)).map(({ cursor }) => stillParked(cursor))]
    },
  }
}
