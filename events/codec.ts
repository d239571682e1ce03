import type { z } from 'zod'
import { FaafoError } from './errors.ts'
import {
  dataSchemas,
  type Envelope,
  type EventType,
  type FractalEvent,
  type RecordedEvent,
  schemaVersions,
} from './events.ts'

/*
 * A message of a stream (CloudEvents 1.0, binary mode: attributes as `ce-` headers, JSON data as the body):
 *
 *   ce-specversion: 1.0                  ce-subject: <fractal uuid>      ce-schemaversion: <version of the data>
 *   ce-id: <uuid>                        ce-time: <RFC 3339>             ce-correlationid, ce-causationid: <event id>
 *   ce-source: /<service>/<host>         content-type: application/json  ce-traceparent: <W3C>
 *   ce-type: TaskRequested …                                             ce-recordedtime: <RFC 3339>, imports only
 *                                                                        ce-importid: <import>, imports only
 */
export type Message = { headers: Record<string, string>; body: string }

/** A message as it was received: an absent header reads as ''. */
export type ReceivedMessage = { header: (name: string) => string; body: string }

/** What the broker adds to a message. `storedAt` is Unix milliseconds. */
export type Position = { seq: number; storedAt: number }

/** Lifts one event's data from the version that it is keyed by to the next. */
export type Upcasters<T extends string = EventType> = Partial<
  Record<T, Record<number, (data: Record<string, unknown>) => unknown>>
>

/** The types of event that a stream knows: what their data is, in which version they are written, and the way there. */
export type Vocabulary<T extends string = string> = {
  schemas: Readonly<Record<T, z.ZodType>>
  versions: Readonly<Record<T, number>>
  upcasters: Upcasters<T>
}

/** Versions that were written once and are read for ever. None has been retired yet. */
export const upcasters: Upcasters = {}

/** By their headers. */
const optionalAttributes = {
  'ce-correlationid': 'correlationid',
  'ce-causationid': 'causationid',
  'ce-traceparent': 'traceparent',
  'ce-recordedtime': 'recordedtime',
  'ce-importid': 'importid',
} as const
const optionalHeaders = Object.entries(optionalAttributes)

export const encode = (event: FractalEvent): Message => toMessage(event, event.fractal, schemaVersions[event.type])

/**
 * The typed event of a message, upcast to today's version.
 * Throws `undecodable-event`, naming the sequence, for an unknown type, a future version or data that does not fit.
 */
export function decode(
  message: ReceivedMessage,
  position: Position,
  lift: Upcasters = upcasters,
  versions: Readonly<Record<EventType, number>> = schemaVersions,
): RecordedEvent {
  const words = { schemas: dataSchemas, versions, upcasters: lift }
  return fromMessage(message, position, words, (fractal) => ({ fractal })) as RecordedEvent
}

/** `subject` is the CloudEvents attribute: what the event is about. */
export function toMessage(
  event: Envelope & { type: string; data: unknown },
  subject: string,
  schemaVersion: number,
): Message {
  const headers: Record<string, string> = {
    'ce-specversion': '1.0',
    'ce-id': event.id,
    'ce-source': event.source,
    'ce-type': event.type,
    'ce-subject': subject,
    'ce-time': event.time,
    'ce-schemaversion': String(schemaVersion),
    'content-type': 'application/json',
  }
  for (const [header, name] of optionalHeaders) {
    const value = event[name]
    if (value !== undefined) headers[header] = value
  }
  return { headers, body: JSON.stringify(event.data) }
}

export type ReadMessage<T extends string> = Envelope & {
  type: T
  data: unknown
  seq: number
  recordedAt: number
  storedAt?: number
}

/**
 * What a message says in the words of its stream; `data` is what its type's schema makes of it, and `about` names whom
 * it is about. Throws as `decode`.
 */
export function fromMessage<T extends string, A extends object>(
  message: ReceivedMessage,
  position: Position,
  { schemas, versions, upcasters }: Vocabulary<T>,
  about: (subject: string) => A,
): ReadMessage<T> & A {
  const refuse = (reason: string, cause?: unknown) =>
    new FaafoError('undecodable-event', `cannot read event ${position.seq}: ${reason}`, {
      cause,
      details: { seq: position.seq, eventId: message.header('ce-id'), eventType: message.header('ce-type') },
    })
  const type = message.header('ce-type') as T
  if (!Object.hasOwn(schemas, type)) throw refuse(`its type '${type}' is unknown to this version`)
  const version = Number(message.header('ce-schemaversion') || 1)
  if (!Number.isInteger(version) || version < 1 || version > versions[type]) {
    throw refuse(`${type} version ${version} is newer than the version ${versions[type]} that this program knows`)
  }
  let data: unknown
  try {
    data = JSON.parse(message.body)
    for (let v = version; v < versions[type]; v++) {
      const step = upcasters[type]?.[v]
      if (!step) throw refuse(`there is no upcaster for ${type} version ${v}`)
      data = step(data as Record<string, unknown>)
    }
  } catch (error) {
    if (error instanceof FaafoError) throw error
    throw refuse('its data is not JSON that an upcaster understands', error)
  }
  const parsed = schemas[type].safeParse(data)
  if (!parsed.success)
    throw refuse(`its data does not fit ${type}: ${parsed.error.issues[0]?.path.join('.')}`, parsed.error)
  const id = message.header('ce-id')
  const subject = message.header('ce-subject')
  if (id === '' || subject === '') throw refuse('it lacks ce-id or ce-subject')
  const time = message.header('ce-time')
  if (Number.isNaN(Date.parse(time))) throw refuse('its ce-time is not a time')
  const event: ReadMessage<T> & A = {
    type,
    id,
    ...about(subject),
    source: message.header('ce-source'),
    time,
    data: parsed.data,
    seq: position.seq,
    recordedAt: position.storedAt,
  }
  for (const [header, name] of optionalHeaders) {
    const value = message.header(header)
    if (value !== '') event[name] = value
  }
  if (event.recordedtime === undefined) return event
  const recordedAt = Date.parse(event.recordedtime)
  if (Number.isNaN(recordedAt)) throw refuse('its ce-recordedtime is not a time')
  return { ...event, recordedAt, storedAt: position.storedAt }
}
