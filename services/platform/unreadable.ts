import { type CloudEvent, cloudEventOf, type UnreadableCloudEvent } from '../../events/cloud-event.ts'
import type { FaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { parkedIdOf } from '../../events/parked.ts'
import type { Names } from '../../events/subjects.ts'
import type { StoredMessage } from './slots.ts'

/** An event that this version of the program cannot read: what its message says of itself. */
export type UnreadableEvent = Pick<RecordedEvent, 'seq' | 'id' | 'fractal' | 'source' | 'recordedAt' | 'storedAt'> & {
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
  source: header('ce-source'),
  type: header('ce-type'),
  schemaVersion: header('ce-schemaversion'),
  unreadable: message,
})

/** As it is given out. What is not told of itself has a value that stands for that, since CloudEvents asks for one. */
export function outside(event: RecordedEvent | UnreadableEvent): CloudEvent | UnreadableCloudEvent {
  if (!isUnreadable(event)) return cloudEventOf(event)
  const { seq, id, type, fractal, source, schemaVersion, recordedAt, unreadable } = event
  return {
    specversion: '1.0',
    id: id || `event-${seq}`,
    source: source || '/unknown',
    type: type || 'Unknown',
    ...(fractal && { subject: fractal }),
    ...(schemaVersion && { schemaversion: schemaVersion }),
    cursor: parkedIdOf({ seq, id }),
    recordedtime: new Date(recordedAt).toISOString(),
    unreadable,
  }
}
