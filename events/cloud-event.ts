import { z } from 'zod'
import { cursorOf } from './cursor.ts'
import { dataSchemas, type EventData, type EventType, type RecordedEvent, schemaVersions } from './events.ts'

/*
 * An event as everyone outside sees it: CloudEvents 1.0 in the JSON format, its data in today's version. The same
 * wherever it is given out.
 */

const attributes = {
  specversion: z.literal('1.0').meta({ description: 'of CloudEvents' }),
  id: z.string().meta({ description: 'of the event, everywhere and for ever' }),
  source: z.string().meta({ description: 'which process said so', example: '/worker/red' }),
  subject: z.guid().meta({ description: 'uuid of the fractal' }),
  time: z.iso.datetime().meta({ description: 'by the clock of whoever said so: nothing is ordered by it' }),
  datacontenttype: z.literal('application/json').meta({ description: 'of the data' }),
  schemaversion: z.int().min(1).meta({ description: 'of the data: always the newest' }),
  cursor: z
    .string()
    .meta({ description: 'position in the log: they are ordered by its number', example: '42-0198c3a1' }),
  recordedtime: z.iso.datetime().meta({ description: 'when it came into the log' }),
  correlationid: z.string().optional().meta({ description: 'id of the event that began it all' }),
  causationid: z.string().optional().meta({ description: 'id of the event that led to this one' }),
  traceparent: z.string().optional().meta({ description: 'W3C trace context' }),
}

export type CloudEvent<T extends EventType = EventType> = {
  [K in T]: z.output<z.ZodObject<typeof attributes>> & { type: K; data: EventData[K] }
}[T]

const schemaOf = (type: EventType) =>
  z
    .object({ ...attributes, type: z.literal(type).meta({ description: 'what happened' }), data: dataSchemas[type] })
    .meta({ id: type })

/** Of each type of event, whole. */
export const cloudEventSchemas = Object.fromEntries(
  (Object.keys(dataSchemas) as EventType[]).map((type) => [type, schemaOf(type)]),
) as Record<EventType, ReturnType<typeof schemaOf>>
const [first, ...others] = Object.values(cloudEventSchemas)

export const cloudEventSchema = z.discriminatedUnion('type', [first as NonNullable<typeof first>, ...others])

/** An event that this version of the program cannot read: no data, and why. */
export const unreadableEventSchema = z
  .object({
    specversion: attributes.specversion,
    id: attributes.id,
    source: attributes.source,
    type: z.string().meta({ description: 'what happened, as the event says it' }),
    subject: z.string().optional().meta({ description: 'uuid of the fractal, where the event says it' }),
    schemaversion: z.string().optional().meta({ description: 'of the data, as the event says it' }),
    cursor: attributes.cursor,
    recordedtime: attributes.recordedtime,
    unreadable: z.string().meta({ description: 'why it cannot be read' }),
  })
  .meta({ id: 'UnreadableEvent' })
export type UnreadableCloudEvent = z.output<typeof unreadableEventSchema>

/** What a webhook is sent to try it: about no fractal, and not in the log. */
export const pingSchema = z
  .object({
    specversion: attributes.specversion,
    id: z.string().meta({ description: 'of this ping' }),
    source: attributes.source,
    type: z.literal('Ping').meta({ description: 'that it is one' }),
    time: z.iso.datetime().meta({ description: 'when it was sent' }),
    datacontenttype: attributes.datacontenttype,
    data: z
      .object({ webhook: z.guid().meta({ description: 'id of the webhook' }) })
      .meta({ description: 'which it tries' }),
  })
  .meta({ id: 'Ping' })
export type Ping = z.output<typeof pingSchema>

export const cloudEventOf = (event: RecordedEvent): CloudEvent =>
  ({
    specversion: '1.0',
    id: event.id,
    source: event.source,
    type: event.type,
    subject: event.fractal,
    time: event.time,
    datacontenttype: 'application/json',
    schemaversion: schemaVersions[event.type],
    cursor: cursorOf(event),
    recordedtime: new Date(event.recordedAt).toISOString(),
    ...(event.correlationid && { correlationid: event.correlationid }),
    ...(event.causationid && { causationid: event.causationid }),
    ...(event.traceparent && { traceparent: event.traceparent }),
    data: event.data,
  }) as CloudEvent
