import { FaafoError } from './errors.ts'

/**
 * A position in the log, as it is given out everywhere: `<sequence>-<first 8 hex digits of the event's id>`. The
 * digits tell a log that was replaced from the one that the cursor was taken from. A bare sequence has no digits
 * and is taken unchecked; sequence 0 stands before the first event.
 */
export type Cursor = { seq: number; idPrefix: string | null }

/** First 8 hex digits of an event id, dashes apart. */
export const idPrefixOf = (eventId: string): string => eventId.replaceAll('-', '').slice(0, 8).toLowerCase()

export const cursorOf = (event: { seq: number; id: string }): string => `${event.seq}-${idPrefixOf(event.id)}`

export const cursorPattern = /^(\d{1,15})(?:-([0-9a-f]{8}))?$/i

/** Throws `invalid-request` for anything but `<sequence>` or `<sequence>-<8 hex digits>`. */
export function parseCursor(text: string): Cursor {
  const match = cursorPattern.exec(text)
  if (!match) {
    throw new FaafoError('invalid-request', `cannot read the cursor '${text.slice(0, 80)}': expected 42-1f2e3d4c or 42`)
  }
  return { seq: Number(match[1]), idPrefix: match[2]?.toLowerCase() ?? null }
}
