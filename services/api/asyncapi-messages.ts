import { z } from 'zod'
import { cloudEventSchemas, pingSchema, unreadableEventSchema } from '../../events/cloud-event.ts'
import { dataSchemas, type EventType, schemaVersions } from '../../events/events.ts'
import { eventTypes } from '../../events/subjects.ts'
import type { Message } from '../web/asyncapi-document.ts'
import type { JsonSchema } from '../web/json-schema.ts'
import {
  binaryExample,
  pingExample,
  progressExample,
  structuredExample,
  unreadableExample,
  webhookHeadersExample,
} from './event-examples.ts'
import { progressSchema } from './event-schemas.ts'
import { webhookHeadersSchema } from './webhook-schemas.ts'

/* What comes over the channels of /asyncapi.json. */

/**
 * In draft-07, of which AsyncAPI's own schemas are made. Open: a field that this version does not know may be there all
 * the same, since one that may be absent makes no new version.
 */
export function schemaOf(schema: z.ZodType): JsonSchema {
  const {
    $schema: _,
    $ref,
    definitions,
    ...rest
  } = z.toJSONSchema(schema, {
    ...{ target: 'draft-7', io: 'input' },
    override({ jsonSchema }) {
      if (jsonSchema.example === undefined) return
      jsonSchema.examples = [jsonSchema.example]
      delete jsonSchema.example
    },
  })
  // One that has a name in OpenAPI refers to itself, from the root of a document that is not this one.
  const [inner = rest] = $ref ? Object.values(definitions ?? {}) : []
  return JSON.parse(JSON.stringify(inner))
}

/** When it happens, for people. */
const summaries: Record<EventType, string> = {
  TaskRequested: 'a fractal was asked for, a failed or cancelled one again, or a lost image',
  TaskStarted: 'a worker began to render it',
  TaskAttemptFailed: 'a render ended without an image; another one follows, or TaskFailed',
  TaskCompleted: 'its image is stored',
  TaskFailed: 'it was given up after several tries, or at once where another would end the same way',
  TaskCancelled: 'somebody cancelled it before it was finished',
  TaskDeleted: 'it was deleted, for good',
}

const header = (description: string) => ({ type: 'string', description })
/** Of every event that stands in the stream. */
export const binaryHeaders: JsonSchema = {
  type: 'object',
  required: ['ce-specversion', 'ce-id', 'ce-source', 'ce-type', 'ce-subject', 'ce-time', 'ce-schemaversion'],
  properties: {
    'ce-specversion': { const: '1.0', description: 'of CloudEvents' },
    'ce-id': header('of the event, everywhere and for ever'),
    'ce-source': header('which process said so'),
    'ce-type': { enum: eventTypes, description: 'what happened' },
    'ce-subject': header('uuid of the fractal'),
    'ce-time': header('RFC 3339, by the clock of whoever said so: nothing is ordered by it'),
    'ce-schemaversion': header('of the data; an older one has to be lifted to the newest'),
    'ce-correlationid': header('id of the event that began it all'),
    'ce-causationid': header('id of the event that led to this one'),
    'ce-traceparent': header('W3C trace context'),
    'ce-recordedtime': header('imported events only: when it was recorded first'),
    'ce-importid': header('imported events only: the import that brought it'),
    'content-type': { const: 'application/json', description: 'of the body' },
  },
}

/** Of every event that is posted to a webhook. */
export const webhookHeaders: JsonSchema = schemaOf(webhookHeadersSchema)

/** Where the data of each version of an event is described, for good. */
const schemaPath = (type: EventType, version: number) =>
  `/schemas/${type.replace(/(?<!^)[A-Z]/g, '-$&').toLowerCase()}-${version}.json`

const common = (type: EventType) => ({
  name: type,
  summary: summaries[type],
  'x-data-schemas': Array.from({ length: schemaVersions[type] }, (_, i) => schemaPath(type, i + 1)),
})

const overHttp = (type: EventType): Message => ({
  ...common(type),
  title: type,
  contentType: 'application/cloudevents+json',
  payload: schemaOf(cloudEventSchemas[type]),
  examples: [{ payload: structuredExample(type) }],
})

const overNats = (type: EventType): Message => ({
  ...common(type),
  title: `${type}, in binary mode`,
  contentType: 'application/json',
  headers: {
    type: 'object',
    allOf: [{ $ref: '#/components/schemas/BinaryHeaders' }],
    properties: { 'ce-type': { const: type } },
  },
  payload: schemaOf(dataSchemas[type]),
  examples: [binaryExample(type)],
})

/** What a message in the stream is called in the document; over HTTP it has the name of its type. */
export const inStream = (type: EventType) => `${type}Message`

/** What may be posted to a webhook. */
export const postable = [...eventTypes, 'Unreadable', 'Ping']

/** What a message that is posted to a webhook is called in the document. */
export const inPost = (name: string) => `${name}Post`

/** The same as is asked for over HTTP, signed. */
const posted = (name: string, message: Message): Message => ({
  ...message,
  title: `${message.title}, posted to a webhook`,
  headers: { $ref: '#/components/schemas/WebhookHeaders' },
  payload: { $ref: `#/components/messages/${name}/payload` },
  examples: (message.examples ?? []).map(({ payload }) => ({
    headers: webhookHeadersExample((payload as { id: string }).id),
    payload,
  })),
})

export function messages(): Record<string, Message> {
  const over = asked()
  const posts = postable.map((name) => [inPost(name), posted(name, over[name] as Message)])
  return { ...over, ...Object.fromEntries(posts) }
}

const asked = (): Record<string, Message> => ({
  ...Object.fromEntries(eventTypes.map((type) => [type, overHttp(type)])),
  ...Object.fromEntries(eventTypes.map((type) => [inStream(type), overNats(type)])),
  Unreadable: {
    name: 'Unreadable',
    title: 'An event that this version cannot read',
    summary:
      'in its place, without data, since a newer version wrote it or it is damaged; `type` is what it says of itself',
    contentType: 'application/cloudevents+json',
    payload: schemaOf(unreadableEventSchema),
    examples: [{ payload: unreadableExample }],
  },
  Ping: {
    name: 'Ping',
    title: 'A ping',
    summary: 'somebody tries a webhook; it is about no fractal, and stands in no log',
    contentType: 'application/cloudevents+json',
    payload: schemaOf(pingSchema),
    examples: [{ payload: pingExample }],
  },
  Progress: {
    name: 'Progress',
    title: 'Progress of a fractal',
    summary: 'its state, or how far it has come, is another one',
    contentType: 'application/json',
    payload: schemaOf(progressSchema),
    examples: [{ payload: progressExample }],
  },
  RenderProgress: {
    name: 'RenderProgress',
    title: 'Progress of a render',
    summary: 'a worker has come so far',
    contentType: 'application/json',
    payload: {
      type: 'object',
      required: ['generation', 'done', 'total'],
      properties: {
        generation: { type: 'integer', minimum: 1, description: 'of the fractal' },
        done: { type: 'number', description: 'of `total`, in units of the worker' },
        total: { type: 'number', description: 'all of it' },
      },
    },
    examples: [{ payload: { generation: 1, done: 120, total: 480 } }],
  },
})
