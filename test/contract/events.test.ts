import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DiagnosticSeverity, Parser } from '@asyncapi/parser'
import { Ajv, type Options } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { CloudEvent, HTTP } from 'cloudevents'
import { connect, headers as natsHeaders } from 'nats'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { z } from 'zod'
import {
  cloudEventOf,
  cloudEventSchemas,
  type CloudEvent as Given,
  type Ping,
  pingSchema,
} from '../../events/cloud-event.ts'
import { decode } from '../../events/codec.ts'
import { dataSchemas, type EventType, schemaVersions } from '../../events/events.ts'
import { asyncApiDocument } from '../../services/api/asyncapi.ts'
import { signed } from '../../services/subscribers/sign.ts'
import { json, withApi } from '../api/with-api.ts'
import { root } from '../support/project.ts'
import { firstEvents } from '../support/server-sent.ts'
import { shapeFile } from '../support/shapes.ts'

/*
 * What is promised to programs that are not ours, held by tools that are not ours, on messages as they were once written:
 * the validators of AsyncAPI and of JSON Schema, and the SDK of CloudEvents.
 */

type Message = { subject: string; headers: Record<string, string>; body: string }
const goldens: Message[] = JSON.parse(readFileSync(join(root, 'test/golden/messages/fractal.json'), 'utf8'))
const typeOf = ({ headers }: Message) => headers['ce-type'] as EventType
const labelOf = ({ headers }: Message) => `${headers['ce-type']} ${headers['ce-schemaversion']} ${headers['ce-id']}`
const eventOf = ({ headers, body }: Message): Given =>
  cloudEventOf(decode({ header: (name) => headers[name] ?? '', body }, { seq: 7, storedAt: 1_795_428_009_000 }))

/** Of a version that does not exist yet. */
const unreadable: Message = {
  subject: 'fractal.outcome.0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11.9',
  headers: { ...goldens.find((golden) => typeOf(golden) === 'TaskCancelled')?.headers, 'ce-schemaversion': '99' },
  body: '{}',
}

const { channels, components } = asyncApiDocument()
const strict: Options = { strict: true, allowUnionTypes: true }
const ajv = new Ajv(strict)
formats.default(ajv)
ajv.addVocabulary(Object.keys(asyncApiDocument()))
ajv.addSchema(asyncApiDocument(), 'asyncapi')
const fits = (part: string, value: unknown) => ajv.validate(`asyncapi#/${part}`, value)

/** The messages of a channel that one is, by their payloads, and headers where it has some. */
const kindsOf = (channel: string, payload: unknown, headers?: object): string[] =>
  Object.entries(channels[channel]?.messages ?? {})
    .filter(([, { $ref }]) => fits(`${$ref.slice(2)}/payload`, payload))
    .filter(([, { $ref }]) => !headers || fits(`${$ref.slice(2)}/headers`, headers))
    .map(([name]) => name)

type Broken = { what: string; value: unknown; isRemoved: boolean }

const jsonType = (value: unknown) => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value)

/** Every way to break one field, also further in: it is taken away, or has another type. */
function brokenOnes(value: object): Broken[] {
  return Object.entries(value).flatMap(([name, field]) => {
    const { [name]: _, ...rest } = value as Record<string, unknown>
    const put = (other: unknown) => ({ ...value, [name]: other })
    const others = [null, true, 12.5, 'other', [], {}].filter((other) => jsonType(other) !== jsonType(field))
    return [
      { what: `without ${name}`, value: rest, isRemoved: true },
      ...others.map((other) => ({ what: `${name} is ${JSON.stringify(other)}`, value: put(other), isRemoved: false })),
      ...(jsonType(field) === 'object' ? brokenOnes(field) : []).map((inner) => ({
        ...{ ...inner, what: `${name}: ${inner.what}`, value: put(inner.value) },
      })),
    ]
  })
}

/** What our own program takes fits, and nothing else does. */
function agrees(doesFit: (value: unknown) => boolean, program: z.ZodType, value: object, label: string): void {
  assert.ok(doesFit(value), label)
  assert.ok(doesFit({ ...value, added: 'later' }), `${label}: a field that is new`)
  let required = 0
  for (const { what, value: broken, isRemoved } of brokenOnes(value)) {
    const isFine = program.safeParse(broken).success
    if (!isRemoved) assert.not(isFine, `${label}: our program takes it, ${what}`)
    if (isRemoved && !isFine) required++
    assert.is(doesFit(broken), isFine, `${label}: ${what}`)
  }
  assert.ok(required > 0 || Object.keys(value).length === 0, label)
}

test('the AsyncAPI document is valid, and nothing is amiss in it', async () => {
  const { document, diagnostics } = await new Parser().parse(JSON.stringify(asyncApiDocument()))
  assert.equal(
    diagnostics
      .filter(({ code }) => code !== 'asyncapi-latest-version') // there are tools that read 3.0 only, and 3.1 adds nothing for us
      .map(({ code, severity, path, message }) => [DiagnosticSeverity[severity], code, path.join('/'), message]),
    [],
  )
  const named = document?.allChannels().all() ?? []
  assert.equal(named.map((channel) => channel.id()).sort(), Object.keys(channels).sort())
  for (const channel of named) assert.is(channel.operations().all().length, 1, channel.id())
})

test('the examples in the AsyncAPI document are what they are examples of', () => {
  for (const [name, { examples = [] }] of Object.entries(components.messages)) {
    assert.is(examples.length, 1, name)
    for (const { headers, payload } of examples) {
      const part = `components/messages/${name}`
      assert.ok(fits(`${part}/payload`, payload), `${name}: ${ajv.errorsText()}`)
      if (headers) assert.ok(fits(`${part}/headers`, headers), `${name}: ${ajv.errorsText()}`)
    }
  }
})

test('an event over HTTP is one message of the AsyncAPI document, and with any field broken none', () => {
  for (const golden of goldens) {
    const type = typeOf(golden)
    const event = eventOf(golden)
    assert.equal(kindsOf('events', event), [type], labelOf(golden))
    assert.equal(kindsOf('fractalEvents', event), [type], labelOf(golden))
    const doesFit = (value: unknown) => fits(`components/messages/${type}/payload`, value)
    agrees(doesFit, cloudEventSchemas[type], event, labelOf(golden))
  }
})

test('what is posted to a webhook is one message of the AsyncAPI document, with the headers that sign it', () => {
  const secret = { secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', until: null }
  const headersOf = (event: { id: string }) =>
    signed({ id: event.id, body: JSON.stringify(event) }, [secret], 1_795_428_009_000)
  const ping = components.messages.Ping?.examples?.[0]?.payload as Ping
  for (const event of [...goldens.map(eventOf), ping]) {
    assert.equal(kindsOf('webhook', event, headersOf(event)), [event.type])
    for (const name of Object.keys(headersOf(event))) {
      const { [name]: _, ...rest } = headersOf(event)
      assert.equal(kindsOf('webhook', event, rest), [], `${event.type} without ${name}`)
    }
  }
  agrees((value) => fits('components/messages/PingPost/payload', value), pingSchema, ping, 'Ping')
})

test('a message in the stream is one message of the AsyncAPI document, on the channel of its subject', () => {
  for (const golden of goldens) {
    const { subject, headers, body } = golden
    const isItsSubject = (address: string) => new RegExp(`^${address.replace(/\{\w+\}/g, '[^.]+')}$`).test(subject)
    const [channel, ...others] = Object.keys(channels).filter((name) => isItsSubject(channels[name]?.address ?? ''))
    assert.ok(channel && others.length === 0, subject)
    if (headers['ce-schemaversion'] !== String(schemaVersions[typeOf(golden)])) continue
    const type = typeOf(golden)
    assert.equal(kindsOf(channel, JSON.parse(body), headers), [type], labelOf(golden))
    const message = `components/messages/${type}Message`
    agrees((value) => fits(`${message}/payload`, value), dataSchemas[type], JSON.parse(body), labelOf(golden))
    for (const name of components.schemas.BinaryHeaders?.required ?? []) {
      const { [name]: _, ...rest } = headers
      assert.not(fits(`${message}/headers`, rest), `${labelOf(golden)} without ${name}`)
    }
    assert.not(fits(`${message}/headers`, { ...headers, 'ce-type': 'TaskForgotten' }))
  }
})

test('the JSON Schemas that are served take the data of every event ever written, and with any field broken none', () =>
  withApi(
    async ({ app }) => {
      for (const golden of goldens) {
        const type = typeOf(golden)
        const version = Number(golden.headers['ce-schemaversion'])
        const response = await app.request(`/schemas/${shapeFile(type, version)}`)
        assert.is(response.headers.get('content-type'), 'application/schema+json')
        const validator = new Ajv2020(strict)
        formats.default(validator)
        const doesFit = validator.compile(await json(response))
        const data = JSON.parse(golden.body)
        if (version === schemaVersions[type])
          agrees((value) => doesFit(value), dataSchemas[type], data, labelOf(golden))
        else assert.ok(doesFit(data), labelOf(golden))
      }
    },
    { database: 'away' },
  ))

type Ways = { page: Given[]; stream: Given[]; messages: Message[] }

/** The golden messages, and one that cannot be read, as the api gives them out and as they stand in NATS. */
async function everyWay(use: (ways: Ways) => void): Promise<void> {
  const all = [...goldens, unreadable]
  await withApi(
    async ({ app, server, broker }) => {
      const nc = await connect({ servers: server.url })
      try {
        const jsm = await nc.jetstreamManager()
        const messages: Message[] = []
        for (const { subject, headers, body } of all) {
          const head = natsHeaders()
          for (const [name, value] of Object.entries(headers)) head.set(name, value)
          const { seq } = await nc.jetstream().publish(subject, body, { headers: head })
          const stored = await jsm.streams.getMessage(broker.names.stream, { seq })
          messages.push({
            subject,
            headers: Object.fromEntries([...stored.header].map(([name, values]) => [name, values.join()])),
            body: new TextDecoder().decode(stored.data),
          })
        }
        const { events: page } = await json(app.request('/v1/events?after=0'))
        const answer = await app.request('/v1/events?after=0', { headers: { accept: 'text/event-stream' } })
        const stream = (await firstEvents(answer, all.length)).map(({ data }) => JSON.parse(data))
        use({ page, stream, messages })
      } finally {
        await nc.close()
      }
    },
    { database: 'away' },
  )
}

/** As the SDK reads a message of HTTP; of NATS it knows nothing, but binary mode is the same there. */
function sdkReads(headers: Record<string, string>, body: string): CloudEvent<unknown> {
  const [event] = [HTTP.toEvent({ headers, body })].flat()
  if (!(event instanceof CloudEvent)) throw new Error(`no event: ${body}`)
  assert.ok(event.validate())
  return event
}

test('the SDK of CloudEvents reads every event: as the api gives it out, and as it stands in NATS', () =>
  everyWay(({ page, stream, messages }) => {
    assert.equal(stream, page)
    assert.is(page.length, goldens.length + 1)
    for (const given of page) {
      const event = sdkReads({ 'content-type': 'application/cloudevents+json' }, JSON.stringify(given))
      assert.ok(new CloudEvent<unknown>({ ...given }).validate())
      const { time, ...said } = JSON.parse(JSON.stringify(event))
      // It makes up a time for an event that cannot be read, which has none.
      assert.equal('time' in given ? { ...said, time } : said, given)
    }
    for (const [i, { headers, body }] of messages.entries()) {
      const event = sdkReads(headers, body)
      const { id, type, subject, source } = page[i] ?? {}
      assert.equal([event.id, event.type, event.subject, event.source], [id, type, subject, source])
      assert.equal(event.data, JSON.parse(body))
    }
    assert.equal(kindsOf('events', page.at(-1)), ['Unreadable'])
  }))

test.run()
