import type { FaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import type { Names } from '../../events/subjects.ts'
import type { StoredMessage } from './slots.ts'

/** An event that this version of the program cannot read: what its message says of itself. */
export type UnreadableEvent = Pick<RecordedEvent, 'seq' | 'id' | 'fractal' | 'recordedAt' | 'storedAt'> & {
  type: string
  schemaVersion: string
  /** Why it cannot be read, as a sentence. */
  unreadable: string
}

export const isUnreadable = (event: RecordedEvent | UnreadableEvent): event is UnreadableEvent => 'unreadable' in event

export const unreadableOf = (
  { seq, id, subject, recordedAt, storedAt, header }: Omit<StoredMessage, 'body'>,
  names: Names,
  { message }: FaafoError,
): UnreadableEvent => ({
  ...{ seq, id, recordedAt, ...(storedAt !== undefined && { storedAt }) },
  fractal: header('ce-subject') || names.fractalOf(subject),
  type: header('ce-type'),
  schemaVersion: header('ce-schemaversion'),
  unreadable: message,
})
