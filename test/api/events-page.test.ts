import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventTypes } from '../../events/subjects.ts'
import { asyncApiDocument } from '../../services/api/asyncapi.ts'
import { fieldsOf, typeOf } from '../../services/web/json-schema.ts'
import { withApi } from './with-api.ts'

/** The part of a page between an element's id and the end of that element. */
const articleOf = (page: string, id: string) => page.split(`<article id="${id}">`)[1]?.split('</article>')[0] ?? ''
const escaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

const withPage = (use: (page: string, request: (path: string) => Promise<Response>) => Promise<void> | void) =>
  withApi(
    async ({ app }) => {
      const response = await app.request('/docs/events', { headers: { accept: 'text/html' } })
      assert.is(response.status, 200)
      await use(await response.text(), async (path) => app.request(path))
    },
    { database: 'away' },
  )

test('the page of events has every channel: its address, parameters, and what comes', () =>
  withPage((page) => {
    const { channels } = asyncApiDocument()
    for (const [name, { address, parameters, messages }] of Object.entries(channels)) {
      const channel = articleOf(page, `channel-${name}`)
      assert.ok(channel.includes(`<h3>${address ?? 'the URL of a webhook'}</h3>`), name)
      for (const parameter of Object.keys(parameters ?? {})) assert.ok(channel.includes(`<code>{${parameter}}</code>`))
      for (const message of Object.keys(messages))
        assert.ok(channel.includes(`href="#${message}"`), `${name} ${message}`)
    }
    for (const parameter of ['after', 'since', 'type', 'uuid', 'status', 'limit', 'wait']) {
      assert.ok(articleOf(page, 'channel-events').includes(`<code>${parameter}</code>`), parameter)
    }
    const transports = [...page.matchAll(/<h2>((?:Over|By) \w+)<\/h2>/g)].map((match) => match[1])
    assert.equal(transports, ['Over HTTP', 'By webhook', 'Over NATS'])
    for (const header of ['webhook-id', 'webhook-timestamp', 'webhook-signature']) {
      assert.ok(page.includes(`<code>${header}</code>`), header)
    }
  }))

test('the page of events has every event: each field with its meaning, its schemas and an example', () =>
  withPage(async (page, request) => {
    const { messages } = asyncApiDocument().components
    for (const { name, payload, examples = [], 'x-data-schemas': schemas } of Object.values(messages)) {
      const article = articleOf(page, name)
      assert.ok(article.includes(`<h3>${name}</h3>`), name)
      for (const field of fieldsOf((schemas && payload.properties?.data) ?? payload)) {
        assert.ok(field.schema.description, `${name}: ${field.name} is not described`)
        assert.ok(article.includes(`<code>${field.name}</code>`), `${name}: ${field.name}`)
      }
      assert.is(examples.length, 1, name)
    }
    for (const type of eventTypes) {
      const article = articleOf(page, type)
      const schemas = [...article.matchAll(/href="(\/schemas\/[^"]+)"/g)].map((match) => match[1] ?? '')
      assert.ok(schemas.length > 0, type)
      for (const schema of schemas) assert.is((await request(schema)).status, 200, schema)
      assert.ok(
        article.includes(`<pre><code>${escaped(JSON.stringify(messages[type]?.examples?.[0]?.payload, null, 2))}`),
      )
    }
    assert.match(articleOf(page, 'TaskAttemptFailed'), /<code>version<\/code><small>may be absent/)
    assert.not.match(articleOf(page, 'TaskAttemptFailed'), /<code>worker<\/code><small>/)
  }))

test('the page of events is one of the site, without a script, and all that it leads to is there', () =>
  withPage(async (page, request) => {
    const needDatabase = new Set(['/', '/v1/status'])
    const answer = await request('/docs/events')
    assert.match(answer.headers.get('content-type') ?? '', /^text\/html/)
    assert.match(answer.headers.get('content-security-policy') ?? '', /^default-src 'none'; /)
    assert.is(answer.headers.get('x-content-type-options'), 'nosniff')
    assert.not.match(page, /<script|\sstyle="|\son\w+="|undefined|\[object/)
    const ids = [...page.matchAll(/\sid="([^"]+)"/g)].map((match) => match[1])
    assert.is(new Set(ids).size, ids.length)
    const links = new Set([...page.matchAll(/href="([^"]+)"/g)].map((match) => match[1] ?? ''))
    for (const link of links) {
      if (link.startsWith('#')) assert.ok(ids.includes(link.slice(1)), link)
      else if (!needDatabase.has(link) && link.startsWith('/')) assert.is((await request(link)).status, 200, link)
    }
    for (const link of ['/docs', '/docs/events', '/asyncapi.json']) assert.ok(links.has(link), link)
    assert.match(await (await request('/openapi.json')).text(), /\(\/docs\/events\)/)
    assert.is((await request('/docs/events/')).status, 200)
  }))

test('a type reads as what the schema says', () => {
  for (const [schema, text] of [
    [{ type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER }, 'integer ≥ 1'],
    [{ type: 'number', minimum: 0, maximum: 1 }, 'number 0 to 1'],
    [{ type: 'number', maximum: 5 }, 'number ≤ 5'],
    [{ type: ['integer', 'null'] }, 'integer or null'],
    [{ type: 'string', format: 'uuid', pattern: '^[0-9a-f-]+$' }, 'uuid'],
    [{ type: 'string', pattern: '^a+$' }, 'string matching ^a+$'],
    [{ type: 'string', enum: ['a', 'b'] }, '"a" or "b"'],
    [{ type: 'string', const: '1.0' }, '"1.0"'],
    [{ type: 'array', items: { type: 'string' } }, 'list of string'],
    [{ type: 'object', additionalProperties: { type: 'string' } }, 'object, each value string'],
    [{}, 'anything'],
  ] as const) {
    assert.is(typeOf(schema), text)
  }
})

test.run()
