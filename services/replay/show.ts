import { cursorOf } from '../../events/cursor.ts'
import type { EventData, EventType, RecordedEvent } from '../../events/events.ts'
import { parkedIdOf } from '../../events/parked.ts'
import type { Log } from '../platform/log.ts'
import { isUnreadable, type UnreadableEvent } from '../platform/unreadable.ts'

/** One line of a fractal's history. */
export type TimelineEntry = {
  /** RFC 3339, the broker's clock. */
  time: string
  /** An EventType, or another one that a newer version wrote. */
  type: string
  generation: number | null
  worker: string | null
  /** Seconds: what a finished render took, or how long a failed one ran. */
  duration: number | null
  cursor: string
  eventId: string
  /** What the event says beside that, for people. */
  details: string
}

/** Everything that happened to one fractal, oldest first; nothing where there is none. Throws `log-unavailable`. */
export const showHistory = async (log: Pick<Log, 'wholeHistory'>, uuid: string): Promise<TimelineEntry[]> =>
  timelineOf(await log.wholeHistory(uuid))

export function timelineOf(events: readonly (RecordedEvent | UnreadableEvent)[]): TimelineEntry[] {
  const startedAt = new Map<string, number>()
  return events.map((event) => {
    if (isUnreadable(event)) return unreadableEntry(event)
    if (event.type === 'TaskStarted')
      startedAt.set(attemptOf(event.data.generation, event.data.entry), event.recordedAt)
    return {
      time: new Date(event.recordedAt).toISOString(),
      type: event.type,
      generation: event.type === 'TaskDeleted' ? null : event.data.generation,
      worker: workerOf(event),
      duration: durationOf(event, startedAt),
      cursor: cursorOf(event),
      eventId: event.id,
      details: details[event.type](event.data as never),
    }
  })
}

const unreadableEntry = (event: UnreadableEvent): TimelineEntry => ({
  time: new Date(event.recordedAt).toISOString(),
  type: event.type,
  ...{ generation: null, worker: null, duration: null },
  cursor: parkedIdOf(event),
  eventId: event.id,
  details: event.unreadable,
})

const attemptOf = (generation: number, entry: number) => `${generation}.${entry}`

function workerOf(event: RecordedEvent): string | null {
  if (event.type === 'TaskStarted' || event.type === 'TaskAttemptFailed') return event.data.worker
  return event.type === 'TaskCompleted' ? event.data.generatedBy : null
}

function durationOf(event: RecordedEvent, startedAt: ReadonlyMap<string, number>): number | null {
  if (event.type === 'TaskCompleted') return event.data.duration
  if (event.type !== 'TaskAttemptFailed') return null
  const began = startedAt.get(attemptOf(event.data.generation, event.data.started))
  return began === undefined ? null : (event.recordedAt - began) / 1000
}

const details: { [T in EventType]: (data: EventData[T]) => string } = {
  TaskRequested: ({ cause, params: p, chosen }) => {
    const window = `x ${p.xa} to ${p.xb}, y ${p.ya} to ${p.yb}`
    const constant = `c = ${p.cx}${p.cy < 0 ? ' − ' : ' + '}${Math.abs(p.cy)}i${chosen.includes('cx') ? ' (chosen)' : ''}`
    return `${cause}: ${p.width} x ${p.height} pixels, ${p.iterations} iterations, ${window}, ${constant}`
  },
  TaskStarted: ({ entry, isolated }) => `entry ${entry}${isolated ? ', in a process of its own' : ''}`,
  TaskAttemptFailed: ({ entry, started, error, counted }) =>
    `entry ${entry}, ends ${started}: ${error.code}: ${error.message}${counted ? '' : ' (not counted)'}`,
  TaskCompleted: ({ size, checksum, started }) =>
    `${size} bytes, SHA-256 ${checksum}, by the start of entry ${started}`,
  TaskFailed: ({ attempts, error, version }) =>
    `after ${attempts} attempts: ${error.code}: ${error.message}${version === undefined ? '' : ` (version ${version})`}`,
  TaskCancelled: ({ reason }) => reason,
  TaskDeleted: () => '',
}
