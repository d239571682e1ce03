import { z } from 'zod'
import { cloudEventSchemas, unreadableEventSchema } from '../../events/cloud-event.ts'
import { dataSchemas, type EventType, schemaVersions } from '../../events/events.ts'
import { eventTypes, namesIn } from '../../events/subjects.ts'
import { VERSION } from '../platform/identity.ts'
import { progressSchema } from './event-schemas.ts'

/*
 * AsyncAPI 3, made from the schemas: the same events over two transports. Over HTTP each is a CloudEvent in the JSON
 * format; in the stream on NATS it is one in binary mode, attributes as headers and data as the body.
 */

/** draft-07 is what AsyncAPI's own schemas are made of. */
const schemaOf = (schema: z.ZodType) => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { target: 'draft-7', io: 'output' })
  return rest
}
const ref = (path: string) => ({ $ref: `#/${path}` })

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
const binaryHeaders = {
  type: 'object',
  required: ['ce-specversion', 'ce-id', 'ce-source', 'ce-type', 'ce-subject', 'ce-time', 'ce-schemaversion'],
  properties: {
    'ce-specversion': { const: '1.0' },
    'ce-id': header('of the event, everywhere and for ever'),
    'ce-source': header('which process said so'),
    'ce-type': { enum: eventTypes },
    'ce-subject': header('uuid of the fractal'),
    'ce-time': header('RFC 3339, by the clock of whoever said so: nothing is ordered by it'),
    'ce-schemaversion': header('of the data; an older one has to be lifted to the newest'),
    'ce-correlationid': header('id of the event that began it all'),
    'ce-causationid': header('id of the event that led to this one'),
    'ce-traceparent': header('W3C trace context'),
    'ce-recordedtime': header('imported events only: when it was recorded first'),
    'ce-importid': header('imported events only: the import that brought it'),
    'content-type': { const: 'application/json' },
  },
}

/** Where the data of each version of an event is described, for good. */
export const schemaPath = (type: EventType, version: number) =>
  `/schemas/${type.replace(/(?<!^)[A-Z]/g, '-$&').toLowerCase()}-${version}.json`

const overHttp = (type: EventType) => ({
  name: type,
  title: type,
  summary: summaries[type],
  contentType: 'application/cloudevents+json',
  payload: schemaOf(cloudEventSchemas[type]),
})

const overNats = (type: EventType) => ({
  name: type,
  title: `${type}, in binary mode`,
  summary: summaries[type],
  contentType: 'application/json',
  headers: ref('components/schemas/BinaryHeaders'),
  payload: schemaOf(dataSchemas[type]),
  externalDocs: { url: schemaPath(type, schemaVersions[type]), description: 'the data, at an address that stays' },
})

const { requested, attempt, outcome, removed, progress } = namesIn('')
const place = { uuid: '{uuid}', number: '{number}' as unknown as number }
const subjects: { name: string; address: string; types: EventType[]; about: string }[] = [
  {
    ...{ name: 'requested', address: requested(place.uuid, place.number), types: ['TaskRequested'] },
    about: 'one for each generation of a fractal, from 1',
  },
  {
    ...{
      name: 'attempts',
      address: `${attempt(place.uuid, place.number, '{entry}' as unknown as number)}`,
      types: ['TaskStarted', 'TaskAttemptFailed'],
    },
    about: 'the attempt record of a generation, entries from 1 without gaps',
  },
  {
    ...{
      name: 'outcomes',
      address: outcome(place.uuid, place.number),
      types: ['TaskCompleted', 'TaskFailed', 'TaskCancelled'],
    },
    about: 'exactly one for each generation that is over',
  },
  { name: 'removed', address: removed(place.uuid), types: ['TaskDeleted'], about: 'the last of a fractal' },
]

const parameters = {
  uuid: { description: 'of the fractal' },
  number: { description: 'generation of the fractal: 1, and one more with every retry' },
  entry: { description: 'of the attempt record' },
}
const parametersOf = (address: string) =>
  Object.fromEntries(Object.entries(parameters).filter(([name]) => address.includes(`{${name}}`)))

const messagesOf = (types: readonly EventType[], suffix = '') =>
  Object.fromEntries(types.map((type) => [type, ref(`components/messages/${type}${suffix}`)]))
const messagesIn = (channel: string, names: readonly string[]) =>
  names.map((name) => ref(`channels/${channel}/messages/${name}`))

let document: ReturnType<typeof make> | undefined

export function asyncApiDocument() {
  document ??= make()
  return document
}

function make() {
  const anyEvent = { ...messagesOf(eventTypes), Unreadable: ref('components/messages/Unreadable') }
  const logChannels = subjects.map(({ name, address, types, about }) => [
    name,
    {
      address,
      servers: [ref('servers/nats')],
      summary: about,
      description:
        'In the stream FRACTAL. With NATS_NAMESPACE set, that and a dot, or a dash, are in front of each name.',
      parameters: parametersOf(address),
      messages: messagesOf(types, 'Message'),
    },
  ])
  const readers = subjects.map(({ name, types }) => [
    `read-${name}`,
    {
      action: 'send',
      channel: ref(`channels/${name}`),
      summary: 'Recorded; consumers of the stream may read it from any sequence on.',
      messages: messagesIn(name, types),
    },
  ])
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Fractals: events',
      version: VERSION,
      description:
        'What happens, in the order of the log, over HTTP and NATS: the same events with the same ids and cursors. Delivered at least once; `id` tells what came twice.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: 'application/json',
    servers: {
      http: { host: '127.0.0.1:8080', protocol: 'http', description: 'an api: server-sent events, and pages of JSON' },
      nats: { host: '127.0.0.1:4222', protocol: 'nats', description: 'the broker: consumers of the stream FRACTAL' },
    },
    channels: {
      events: {
        address: '/v1/events',
        servers: [ref('servers/http')],
        summary: 'every event, from any moment on',
        description:
          'Accept: text/event-stream. Query: after (cursor), since (time), type, uuid, status. Last-Event-ID goes before them. Each event has its cursor as id.',
        messages: anyEvent,
      },
      fractalEvents: {
        address: '/v1/fractal/{uuid}/events',
        servers: [ref('servers/http')],
        summary: 'the history of one fractal, and what follows until it is deleted',
        parameters: { uuid: parameters.uuid },
        messages: anyEvent,
      },
      fractalProgress: {
        address: '/v1/fractal/{uuid}/progress',
        servers: [ref('servers/http')],
        summary: 'how far one fractal has come, until it is finished',
        parameters: { uuid: parameters.uuid },
        messages: { Progress: ref('components/messages/Progress') },
      },
      ...Object.fromEntries(logChannels),
      renderProgress: {
        address: progress('{uuid}'),
        servers: [ref('servers/nats')],
        summary: 'what a worker says while it renders, several times a second; in no stream, and never complete',
        parameters: { uuid: parameters.uuid },
        messages: { RenderProgress: ref('components/messages/RenderProgress') },
      },
    },
    operations: {
      followEvents: {
        action: 'send',
        channel: ref('channels/events'),
        messages: messagesIn('events', [...eventTypes, 'Unreadable']),
      },
      followFractal: {
        action: 'send',
        channel: ref('channels/fractalEvents'),
        messages: messagesIn('fractalEvents', [...eventTypes, 'Unreadable']),
      },
      followProgress: {
        action: 'send',
        channel: ref('channels/fractalProgress'),
        messages: messagesIn('fractalProgress', ['Progress']),
      },
      ...Object.fromEntries(readers),
      hearProgress: {
        action: 'send',
        channel: ref('channels/renderProgress'),
        messages: messagesIn('renderProgress', ['RenderProgress']),
      },
    },
    components: {
      schemas: { BinaryHeaders: binaryHeaders },
      messages: {
        ...Object.fromEntries(eventTypes.map((type) => [type, overHttp(type)])),
        ...Object.fromEntries(eventTypes.map((type) => [`${type}Message`, overNats(type)])),
        Unreadable: {
          name: 'Unreadable',
          title: 'An event that this version cannot read',
          summary: 'in its place, without data; `unreadable` says why',
          contentType: 'application/cloudevents+json',
          payload: schemaOf(unreadableEventSchema),
        },
        Progress: {
          name: 'progress',
          title: 'Progress of a fractal',
          contentType: 'application/json',
          payload: schemaOf(progressSchema),
        },
        RenderProgress: {
          name: 'RenderProgress',
          title: 'Progress of a render',
          contentType: 'application/json',
          payload: {
            type: 'object',
            required: ['generation', 'done', 'total'],
            properties: {
              generation: { type: 'integer', minimum: 1 },
              done: { type: 'number', description: 'of `total`, in units of the worker' },
              total: { type: 'number' },
            },
          },
        },
      },
    },
  }
}
