import type { EventType } from '../../events/events.ts'
import { eventTypes, namesIn } from '../../events/subjects.ts'
import { VERSION } from '../platform/identity.ts'
import type { AsyncApiDocument, Channel, Operation } from '../web/asyncapi-document.ts'
import type { JsonSchema } from '../web/json-schema.ts'
import { binaryHeaders, inPost, inStream, messages, postable, schemaOf, webhookHeaders } from './asyncapi-messages.ts'
import { eventsQuerySchema, historyQuerySchema } from './event-schemas.ts'

/*
 * AsyncAPI 3, made from the schemas: the same events over three transports. Over HTTP, asked for or posted to a webhook,
 * each is a CloudEvent in the JSON format; in the stream on NATS it is one in binary mode, attributes as headers and data
 * as the body.
 */

const ref = (path: string) => ({ $ref: `#/${path}` })

const parameters = {
  uuid: { description: 'of the fractal' },
  number: { description: 'generation of the fractal: 1, and one more with every retry' },
  entry: { description: 'of the attempt record' },
}
const parametersOf = (address: string) =>
  Object.fromEntries(Object.entries(parameters).filter(([name]) => address.includes(`{${name}}`)))

/** A channel, and that the application sends what it has. */
type Offer = Pick<Channel, 'address' | 'summary' | 'description'> & {
  server: 'http' | 'nats' | 'webhook'
  /** What comes over it: names in the document, by those in the channel. */
  messages: Readonly<Record<string, string>>
  /** Over HTTP: what may be asked for. */
  query?: JsonSchema
}

const asThemselves = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, name]))
const anyEvent = asThemselves([...eventTypes, 'Unreadable'])

const resumable =
  '`Last-Event-ID`, which browsers send by themselves, is the cursor of the last event that the client has had, and goes before the query.'

const overHttp = (): Record<string, Offer> => ({
  events: {
    ...{ server: 'http', address: '/v1/events', messages: anyEvent, query: schemaOf(eventsQuerySchema) },
    summary: 'every event, from any moment on',
    description: `With \`Accept: text/event-stream\` a stream that never ends, each event with its type as \`event\`, its cursor as \`id\` and a CloudEvent as \`data\`; else a page of JSON. ${resumable}`,
  },
  fractalEvents: {
    ...{ server: 'http', address: '/v1/fractal/{uuid}/events', messages: anyEvent },
    query: schemaOf(historyQuerySchema),
    summary: 'the history of one fractal, and what follows until it is deleted',
    description: `With \`Accept: text/event-stream\` a stream, as that of every event; else its history so far, as JSON. ${resumable}`,
  },
  fractalProgress: {
    ...{ server: 'http', address: '/v1/fractal/{uuid}/progress', messages: { Progress: 'Progress' } },
    summary: 'how far one fractal has come, until it is finished',
    description: 'With `Accept: text/event-stream` every change, as `event: progress`; else how it is now, as JSON.',
  },
})

const inTheStream =
  'In the stream FRACTAL, of which a consumer may begin anywhere. With NATS_NAMESPACE set, that and a dot, or a dash, are in front of each name.'
const subject = (address: string, types: readonly EventType[], summary: string): Offer => ({
  ...{ server: 'nats', address, summary, description: inTheStream },
  messages: Object.fromEntries(types.map((type) => [type, inStream(type)])),
})

function overNats(): Record<string, Offer> {
  const names = namesIn('')
  const [uuid, number, entry] = ['{uuid}', '{number}' as unknown as number, '{entry}' as unknown as number]
  return {
    requested: subject(
      names.requested(uuid, number),
      ['TaskRequested'],
      'one for each generation of a fractal, from 1',
    ),
    attempts: subject(
      names.attempt(uuid, number, entry),
      ['TaskStarted', 'TaskAttemptFailed'],
      'the attempt record of a generation, entries from 1 without gaps',
    ),
    outcomes: subject(
      names.outcome(uuid, number),
      ['TaskCompleted', 'TaskFailed', 'TaskCancelled'],
      'exactly one for each generation that is over',
    ),
    removed: subject(names.removed(uuid), ['TaskDeleted'], 'the last of a fractal'),
    renderProgress: {
      ...{ server: 'nats', address: names.progress(uuid), messages: { RenderProgress: 'RenderProgress' } },
      summary: 'what a worker says while it renders, several times a second',
      description: 'In no stream, and never complete: who is not there misses it.',
    },
  }
}

const posted = (): Record<string, Offer> => ({
  webhook: {
    ...{ server: 'webhook', address: null },
    messages: Object.fromEntries(postable.map((name) => [name, inPost(name)])),
    summary: 'every event that matches, posted to the URL of a webhook',
    description:
      'Signed as Standard Webhooks says, at least once, in order for each fractal, and again for more than a day until it is answered with 2xx. Webhooks are created at `/v1/webhooks`.',
  },
})

const channelOf = ({ server, address, summary, description, messages }: Offer): Channel => ({
  ...{ address, servers: [ref(`servers/${server}`)], summary, ...(description !== undefined && { description }) },
  ...(address !== null && { parameters: parametersOf(address) }),
  messages: Object.fromEntries(
    Object.entries(messages).map(([name, inDocument]) => [name, ref(`components/messages/${inDocument}`)]),
  ),
})

const operationOf = (channel: string, { server, messages, query }: Offer): Operation => ({
  action: 'send',
  channel: ref(`channels/${channel}`),
  messages: Object.keys(messages).map((name) => ref(`channels/${channel}/messages/${name}`)),
  ...(server !== 'nats' && {
    bindings: {
      http: { method: server === 'http' ? 'GET' : 'POST', ...(query && { query }), bindingVersion: '0.3.0' },
    },
  }),
})

let document: AsyncApiDocument | undefined

/** Made when it is first asked for. */
export function asyncApiDocument(): AsyncApiDocument {
  document ??= make()
  return document
}

function make(): AsyncApiDocument {
  const offers = Object.entries({ ...overHttp(), ...posted(), ...overNats() })
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
      http: {
        ...{ host: '{api}', protocol: 'http', title: 'Over HTTP' },
        description: 'an api: server-sent events, and pages of JSON',
        variables: { api: { default: '127.0.0.1:8080', description: 'where an api listens' } },
      },
      webhook: {
        ...{ host: '{receiver}', protocol: 'https', title: 'By webhook' },
        description: 'a server of yours, to which events are posted',
        variables: { receiver: { description: 'as the URL of the webhook says' } },
      },
      nats: {
        ...{ host: '{broker}', protocol: 'nats', title: 'Over NATS' },
        description: 'the broker: the log itself, in the stream FRACTAL',
        variables: {
          broker: { default: '127.0.0.1:4222', description: 'where the broker listens, as `NATS_URL` says' },
        },
      },
    },
    channels: Object.fromEntries(offers.map(([name, offer]) => [name, channelOf(offer)])),
    operations: Object.fromEntries(offers.map(([name, offer]) => [name, operationOf(name, offer)])),
    components: { schemas: { BinaryHeaders: binaryHeaders, WebhookHeaders: webhookHeaders }, messages: messages() },
  }
}
