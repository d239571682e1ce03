import { FaafoError } from './errors.ts'
import { dataSchemas, type EventType, type FractalEvent, type RecordedEvent, schemaVersions } from './events.ts'

/*
 * A message of the log (CloudEvents 1.0, binary mode: attributes as `ce-` headers, JSON data as the body):
 *
 *   ce-specversion: 1.0                  ce-subject: <fractal uuid>      ce-schemaversion: <version of the data>
 *   ce-id: <uuid>                        ce-time: <RFC 3339>             ce-correlationid, ce-causationid: <event id>
 *   ce-source: /<service>/<host>         content-type: application/json  ce-traceparent: <W3C>
 *   ce-type: TaskRequested …                                             ce-recordedtime: <RFC 3339>, imports only
 */
export type Message = { headers: Record<string, string>; body: string }

/** Lifts one event's data from the version that it is keyed by to the next. */
export type Upcasters = Partial<Record<EventType, Record<number, (data: Record<string, unknown>) => unknown>>>

/** Versions that were written once and are read for ever. None has been retired yet. */
export const upcasters: Upcasters = {}

const optionalAttributes = ['correlationid', 'causationid', 'traceparent', 'recordedtime'] as const

export function encode(event: FractalEvent): Message {
  const headers: Record<string, string> = {
    'ce-specversion': '1.0',
    'ce-id': event.id,
    'ce-source': event.source,
    'ce-type': event.type,
    'ce-subject': event.fractal,
    'ce-time': event.time,
    'ce-schemaversion': String(schemaVersions[event.type]),
    'content-type': 'application/json',
  }
  for (const name of optionalAttributes) {
    const value = event[name]
    if (value !== undefined) headers[`ce-${name}`] = value
  }
  return { headers, body: JSON.stringify(event.data) }
}

/** What the broker adds to a message. `storedAt` is Unix milliseconds. */
export type Position = { seq: number; storedAt: number }

/**
 * The typed event of a message, upcast to today's version.
 * Throws `undecodable-event`, naming the sequence, for an unknown type, a future version or data that does not fit.
 */
export function decode(
  message: { header: (name: string) => string; body: string },
  position: Position,
  lift: Upcasters = upcasters,
  versions: Readonly<Record<EventType, number>> = schemaVersions,
): RecordedEvent {
  const refuse = (reason: string, cause?: unknown) =>
    new FaafoError('undecodable-event', `cannot read event ${position.seq}: ${reason}`, {
      cause,
      details: { seq: position.seq, eventId: message.header('ce-id'), eventType: message.header('ce-type') },
    })
  const type = message.header('ce-type')
  if (!Object.hasOwn(dataSchemas, type)) throw refuse(`its type '${type}' is unknown to this version`)
  const known = type as EventType
  const version = Number(message.header('ce-schemaversion') || 1)
  if (!Number.isInteger(version) || version < 1 || version > versions[known]) {
    throw refuse(`${type} version ${version} is newer than the version ${versions[known]} that this program knows`)
  }
  let data: unknown
  try {
    data = JSON.parse(message.body)
    for (let v = version; v < versions[known]; v++) {
      const step = lift[known]?.[v]
      if (!step) throw refuse(`there is no upcaster for ${type} version ${v}`)
      data = step(data as Record<string, unknown>)
    }
  } catch (error) {
    if (error instanceof FaafoError) throw error
    throw refuse('its data is not JSON that an upcaster understands', error)
  }
  const parsed = dataSchemas[known].safeParse(data)
  if (!parsed.success)
    throw refuse(`its data does not fit ${type}: ${parsed.error.issues[0]?.path.join('.')}`, parsed.error)
  const id = message.header('ce-id')
  const fractal = message.header('ce-subject')
  if (id === '' || fractal === '') throw refuse('it lacks ce-id or ce-subject')
  if (Number.isNaN(Date.parse(message.header('ce-time')))) throw refuse('its ce-time is not a time')
  const event: Record<string, unknown> = {
    type,
    id,
    fractal,
    source: message.header('ce-source'),
    time: message.header('ce-time'),
    data: parsed.data,
    seq: position.seq,
    recordedAt: position.storedAt,
  }
  for (const name of optionalAttributes) {
    const value = message.header(`ce-${name}`)
    if (value !== '') event[name] = value
  }
  if (typeof event.recordedtime === 'string') event.recordedAt = Date.parse(event.recordedtime)
  return event as RecordedEvent
}
