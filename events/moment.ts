import { type Cursor, cursorPattern, parseCursor } from './cursor.ts'
import { FaafoError } from './errors.ts'
import type { RecordedEvent } from './events.ts'

/** A moment of the log: up to and with an event, or up to and with a time (Unix milliseconds, the broker's clock). */
export type Moment = Cursor | { time: number }

/** RFC 3339 with its offset, years 1 to 9999; null for anything else, such as days that no month has. */
export function parseTime(text: string): Date | null {
  const [, day] = /^(\d{4}-\d\d-\d\d)T(?!24)\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(text) ?? []
  if (day === undefined || !isInCalendar(day)) return null
  const time = new Date(text)
  const year = Number.isNaN(time.getTime()) ? 0 : time.getUTCFullYear()
  return year >= 1 && year <= 9999 ? time : null
}

/** Dates in JavaScript take a 30 February for 2 March. */
function isInCalendar(day: string): boolean {
  const midnight = new Date(`${day}T00:00:00Z`)
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day)
}

/** Throws `invalid-request` for what is neither a cursor nor a time. */
export function parseMoment(text: string): Moment {
  if (cursorPattern.test(text)) return parseCursor(text)
  const time = parseTime(text)
  if (time) return { time: time.getTime() }
  throw new FaafoError(
    'invalid-request',
    `cannot read the moment '${text.slice(0, 80)}': expected a cursor such as 42-1f2e3d4c or a time such as 2026-01-31T12:00:00Z`,
  )
}

/** Of events in the order of the log, those that had happened at the moment. */
export function upTo(events: readonly RecordedEvent[], moment: Moment): RecordedEvent[] {
  const isLater = (event: RecordedEvent) => ('time' in moment ? event.recordedAt > moment.time : event.seq > moment.seq)
  const end = events.findIndex(isLater)
  return end < 0 ? [...events] : events.slice(0, end)
}
