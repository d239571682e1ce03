import type { Hono } from 'hono'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  webhookAttemptSchema,
  webhookAttemptsSchema,
  webhookListSchema,
  webhookObjectSchema,
  webhookParkedSchema,
  webhookWithSecretSchema,
} from '../../services/api/webhook-schemas.ts'
import { webhookAttempt } from '../../services/platform/schema.ts'
import { answerPings, onLook } from '../../services/platform/webhook-asks.ts'
import type { Attempt } from '../../services/platform/webhook-attempts.ts'
import { webhookStore } from '../../services/platform/webhook-store.ts'
import { webhooksOf } from '../../services/platform/webhooks.ts'
import { withAdministration } from '../platform/with-log.ts'
import { until } from '../support/until.ts'
import { create, json, type Parts, post, withApi } from './with-api.ts'

const url = 'https://example.org/hooks'
const ours = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const withWrites = (use: Parameters<typeof withApi>[0]) => withApi(use, { database: 'away' })

/** Status, headers and body of an answer to a request that may change something. */
async function ask(
  app: Hono,
  path: string,
  body?: unknown,
  { method = 'POST', ...headers }: Record<string, string> = {},
) {
  const sent = { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers }
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const response = await app.request(path, { method, headers: sent, ...(body !== undefined && { body: text }) })
  const object = response.status === 204 ? null : await json(response)
  if (!response.ok) assert.is(response.headers.get('content-type'), 'application/problem+json')
  return { status: response.status, headers: response.headers, object }
}

/** A webhook just made, which fits its schema. */
async function make(app: Hono, more: Record<string, unknown> = {}) {
  const { status, object } = await ask(app, '/v1/webhooks', { url, ...more })
  assert.is(status, 201, JSON.stringify(object))
  assert.equal(webhookWithSecretSchema.strict().parse(object), object)
  const { secret, ...webhook } = object
  return { secret, webhook, path: `/v1/webhooks/${object.id}` }
}

const show = async (app: Hono, path: string) => {
  const object = await json(app.request(path))
  assert.equal(webhookObjectSchema.strict().parse(object), object)
  return object
}

const pointersOf = ({ status, object }: Awaited<ReturnType<typeof ask>>) => [
  status,
  object.code,
  ...(object.errors ?? []).map((error: { pointer: string }) => error.pointer),
]

const attempt = (webhook: string, more: Partial<Attempt> = {}): Attempt => ({
  ...{ webhook, at: Date.parse('2026-01-02T03:04:05.678Z'), eventId: v4(), cursor: '7-0198c3a1', attempt: 1 },
  ...{
    type: 'TaskCompleted',
    fractal: v4(),
    status: 204,
    latencyMs: 12,
    outcome: 'delivered',
    error: null,
    answer: '',
  },
  ...more,
})

test('a webhook is made without the database, with a secret that is told this once', () =>
  withWrites(async ({ app, broker }) => {
    const { status, headers, object } = await ask(app, '/v1/webhooks', { url })
    assert.is(status, 201)
    assert.is(headers.get('location'), `/v1/webhooks/${object.id}`)
    const { id, secret, created, updated, ...rest } = object
    assert.match(secret, /^whsec_[A-Za-z0-9+/]{32}$/)
    assert.equal(rest, {
      ...{ url, description: '', types: [], status: [], uuid: [], state: 'active', reason: null, cursor: '0' },
      ...{ parked: 0, secrets: 1 },
    })
    assert.is(created, updated)
    const { secret: _, ...shown } = object
    assert.equal(await show(app, `/v1/webhooks/${id.toUpperCase()}`), shown)

    const fractal = v4()
    const whole = {
      ...{ description: 'ours', types: ['TaskFailed'], status: ['failed', 'deleted'], uuid: [fractal.toUpperCase()] },
      ...{ secret: ours, after: '0' },
    }
    const second = await make(app, whole)
    assert.is(second.secret, ours)
    const { description, types, status: states, uuid } = second.webhook
    assert.equal([description, types, states, uuid], ['ours', ['TaskFailed'], ['failed', 'deleted'], [fractal]])
    const list = await json(app.request('/v1/webhooks'))
    assert.equal(webhookListSchema.strict().parse(list), { webhooks: [shown, second.webhook] })
    const events = JSON.stringify(await webhooksOf(broker).history(second.webhook.id))
    assert.not.match(events, /whsec|MfKQ9r8G/, 'no event holds a secret')
    const metrics = await (await app.request('/metrics')).text()
    assert.ok(metrics.includes('faafo_events_appended_total{type="WebhookCreated"} 2\n'), metrics)
  }))

test('it begins now, after a cursor, or at a time', () =>
  withWrites(async ({ app, log }) => {
    const first = await create(app)
    await new Promise((done) => setTimeout(done, 20))
    const between = new Date().toISOString()
    await new Promise((done) => setTimeout(done, 20))
    const second = await create(app)
    assert.is((await make(app)).webhook.cursor, second.cursor)
    assert.is((await make(app, { after: '0' })).webhook.cursor, '0')
    assert.is((await make(app, { after: first.cursor })).webhook.cursor, first.cursor)
    assert.is((await make(app, { after: '1' })).webhook.cursor, first.cursor, 'a bare sequence gets its digits')
    assert.is((await make(app, { since: between })).webhook.cursor, first.cursor)
    assert.is((await make(app, { since: '2020-01-01T00:00:00Z' })).webhook.cursor, '0')
    assert.is((await log.head()).lastSeq, 2)
    const other = await ask(app, '/v1/webhooks', { url, after: '1-00000000' })
    assert.equal([other.status, other.object.code], [410, 'log-replaced'])
    const beyond = await ask(app, '/v1/webhooks', { url, after: '99-00000000' })
    assert.equal([beyond.status, beyond.object.code], [410, 'log-replaced'])
    const since = new Date(Date.now() + 3_600_000).toISOString()
    const { path } = await make(app)
    for (const [at, body] of [
      ['/v1/webhooks', { url, since }],
      [`${path}/replay`, { since }],
    ] as const) {
      const { status, object } = await ask(app, at, body)
      assert.equal([status, object.code], [400, 'invalid-request'])
      assert.match(object.detail, `cannot begin at ${since}: that is yet to come`)
    }
  }))

test('an idempotency key leads to one webhook, and to its secret', () =>
  withWrites(async ({ app }) => {
    const key = { 'idempotency-key': 'ours' }
    const first = await ask(app, '/v1/webhooks', { url }, key)
    assert.equal([first.status, first.headers.get('idempotent-replayed')], [201, null])
    await create(app) // the log has grown: that makes no other request
    const again = await ask(app, '/v1/webhooks', { url }, key)
    assert.equal([again.status, again.headers.get('idempotent-replayed')], [201, 'true'])
    assert.equal([again.object.id, again.object.secret], [first.object.id, first.object.secret])
    const other = await ask(app, '/v1/webhooks', { url: 'https://example.org/other' }, key)
    assert.equal([other.status, other.object.code, other.object.uuid], [422, 'idempotency-mismatch', first.object.id])
    await ask(app, `/v1/webhooks/${first.object.id}`, undefined, { method: 'DELETE' })
    assert.is((await ask(app, '/v1/webhooks', { url }, key)).status, 422)
    assert.is((await ask(app, '/v1/webhooks', { url }, { 'idempotency-key': '' })).status, 400)
  }))

test('a key again is compared with what was asked for at first, and answered as it was', () =>
  withWrites(async ({ app, broker }) => {
    const { cursor } = await create(app)
    const withKey = (key: string, body: object) => ask(app, '/v1/webhooks', body, { 'idempotency-key': key })
    const other = 'https://example.org/other'
    const first = await withKey('changed', { url })
    const path = `/v1/webhooks/${first.object.id}`
    await ask(app, path, { url: other }, { method: 'PATCH' })
    await ask(app, `${path}/pause`)
    const again = await withKey('changed', { url })
    assert.equal([again.status, again.headers.get('idempotent-replayed')], [201, 'true'])
    assert.equal(again.object, first.object)
    assert.is((await show(app, path)).url, other)
    assert.is((await withKey('changed', { url: other })).status, 422)

    const since = '2020-01-01T00:00:00Z'
    const theirs = `whsec_${'A'.repeat(32)}`
    for (const [key, body, differently] of [
      ['secret', { url, secret: ours }, [{ url }, { url, secret: theirs }]],
      ['after', { url, after: cursor }, [{ url }, { url, after: '0' }, { url, since }]],
      ['since', { url, since }, [{ url }, { url, since: '2020-01-02T00:00:00Z' }, { url, after: '0' }]],
    ] as const) {
      const { object } = await withKey(key, body)
      for (const changed of differently) {
        const { status, object } = await withKey(key, changed)
        assert.equal([status, object.code], [422, 'idempotency-mismatch'], JSON.stringify(changed))
      }
      assert.equal((await withKey(key, body)).object, object)
      assert.not.match(JSON.stringify(await webhooksOf(broker).history(object.id)), /whsec|MfKQ9r8G/)
    }
  }))

test('where it is not sure whether one was created, what to do can be done', () =>
  withWrites(async ({ app, server }) => {
    await make(app)
    const longest = (max_msg_size: number) =>
      withAdministration(server.url, async (jsm) => void (await jsm.streams.update('FAAFO', { max_msg_size })))
    await longest(1)
    for (const [headers, advice] of [
      [{ 'idempotency-key': 'ours' }, 'repeat the request with the same Idempotency-Key'],
      [{}, 'look whether there is one of that id'],
    ] as const) {
      const { status, object } = await ask(app, '/v1/webhooks', { url }, headers)
      assert.equal([status, object.code], [503, 'log-unavailable'])
      const what = `cannot be sure that WebhookCreated of webhook '${object.uuid}' was recorded`
      assert.is(object.detail, `${what}: the broker did not confirm it in time; ${advice}`)
    }
    await longest(-1)
    assert.is((await ask(app, '/v1/webhooks', { url }, { 'idempotency-key': 'ours' })).status, 201)
  }))

test('everything that is wrong with a request is told, with a pointer', () =>
  withWrites(async ({ app }) => {
    const wrong = async (body: unknown) => pointersOf(await ask(app, '/v1/webhooks', body))
    assert.equal(await wrong({}), [400, 'invalid-request', '/url'])
    for (const bad of [
      '',
      'x',
      '/hooks',
      'ftp://example.org/',
      'javascript:alert(1)',
      7,
      null,
      `${url}?${'x'.repeat(2_048)}`,
    ]) {
      assert.equal(await wrong({ url: bad }), [400, 'invalid-request', '/url'], String(bad))
    }
    const password = await ask(app, '/v1/webhooks', { url: 'https://me:secret@example.org/' })
    assert.match(password.object.detail, /without a password/)
    assert.equal(await wrong({ url, types: ['TaskPaused'] }), [400, 'invalid-request', '/types/0'])
    assert.equal(await wrong({ url, types: 'TaskFailed' }), [400, 'invalid-request', '/types'])
    assert.equal(await wrong({ url, status: ['done'] }), [400, 'invalid-request', '/status/0'])
    assert.equal(await wrong({ url, uuid: ['x'] }), [400, 'invalid-request', '/uuid/0'])
    assert.equal(await wrong({ url, after: 'x' }), [400, 'invalid-request', '/after'])
    assert.equal(await wrong({ url, since: 'yesterday' }), [400, 'invalid-request', '/since'])
    assert.equal(await wrong({ url, description: 'x'.repeat(501) }), [400, 'invalid-request', '/description'])
    for (const secret of ['', 'whsec_', 'whsec_c2hvcnQ=', ours.slice(6), `${ours}!`, `whsec_${'A'.repeat(96)}`]) {
      assert.equal(await wrong({ url, secret }), [400, 'invalid-request', '/secret'], secret)
    }
    const both = await ask(app, '/v1/webhooks', { url, after: '0', since: '2026-01-31T12:00:00Z' })
    assert.equal([both.status, both.object.detail], [400, 'cannot create a webhook: expected after or since, not both'])
    assert.equal(await wrong({ url, mood: 1 }), [400, 'invalid-request', ''])
    assert.equal(await wrong('{'), [400, 'malformed-body'])
    assert.equal(await wrong({ url, uuid: Array.from({ length: 2_000 }, () => v4()) }), [413, 'body-too-large'])
    const form = await ask(app, '/v1/webhooks', 'url=x', { 'content-type': 'application/x-www-form-urlencoded' })
    assert.equal([form.status, form.object.code], [415, 'unsupported-media-type'])
    const elsewhere = await ask(app, '/v1/webhooks', { url }, { origin: 'https://example.org' })
    assert.equal([elsewhere.status, elsewhere.object.code], [403, 'forbidden-origin'])
    const put = await ask(app, '/v1/webhooks', { url }, { method: 'PUT' })
    assert.equal([put.status, put.headers.get('allow')], [405, 'POST, GET, HEAD'])
    assert.equal(await json(app.request('/v1/webhooks')), { webhooks: [] })
  }))

test('it is changed, paused and resumed', () =>
  withWrites(async ({ app, broker }) => {
    const looks: string[] = []
    const stop = new AbortController()
    onLook(broker, (id) => looks.push(id), stop.signal)
    const { webhook, path } = await make(app, { types: ['TaskFailed'] })
    const patch = (body: unknown) => ask(app, path, body, { method: 'PATCH' })
    const changed = await patch({ description: 'ours', types: [], status: ['completed'] })
    const { updated: _, ...rest } = changed.object
    const { updated: __, ...before } = webhook
    assert.equal(rest, { ...before, description: 'ours', types: [], status: ['completed'] })
    assert.equal((await patch({ description: 'ours' })).object, changed.object, 'nothing changed')
    assert.equal(await show(app, path), changed.object)
    assert.equal((await patch({ url: 'https://a.example/' })).object.url, 'https://a.example/')
    assert.equal(pointersOf(await patch({})), [400, 'invalid-request', ''])
    assert.match((await patch({ secret: ours })).object.detail, /there is no .?secret.? here/)
    assert.equal(pointersOf(await patch({ url: 'x', uuid: 'x' })), [400, 'invalid-request', '/url', '/uuid'])

    const paused = await ask(app, `${path}/pause`, { reason: 'we move' })
    assert.equal([paused.status, paused.object.state, paused.object.reason], [200, 'paused', 'we move'])
    assert.is((await ask(app, `${path}/pause`)).object.reason, 'we move')
    assert.is((await patch({ description: '' })).object.state, 'paused')
    const resumed = await ask(app, `${path}/resume`)
    assert.equal([resumed.status, resumed.object.state, resumed.object.reason], [200, 'active', null])
    assert.equal((await ask(app, `${path}/resume`)).object, resumed.object)
    assert.equal((await ask(app, `${path}/pause`)).object.reason, null)
    assert.equal(pointersOf(await ask(app, `${path}/pause`, { reason: 7 })), [400, 'invalid-request', '/reason'])
    await until(() => looks.length > 0, { what: 'those who deliver are told' })
    assert.equal(new Set(looks), new Set([webhook.id]))
    stop.abort()
  }))

test('a secret before is valid as long as asked for', () =>
  withWrites(async ({ app, broker }) => {
    const { secret, webhook, path } = await make(app)
    const valid = async (later = 0) =>
      (await webhookStore(broker).secrets(webhook.id, Date.now() + later)).map(({ secret }) => secret)
    const rotated = await ask(app, `${path}/rotate-secret`)
    assert.equal(webhookWithSecretSchema.strict().parse(rotated.object), rotated.object)
    assert.is(rotated.status, 200)
    assert.is(rotated.object.secrets, 2)
    assert.equal(await valid(), [rotated.object.secret, secret])
    assert.equal(await valid(86_390_000), [rotated.object.secret, secret])
    assert.equal(await valid(86_410_000), [rotated.object.secret])
    const given = await ask(app, `${path}/rotate-secret`, { secret: ours, overlap: 60 })
    assert.is(given.object.secret, ours)
    const all = [ours, rotated.object.secret, secret]
    assert.equal(await valid(), all)
    assert.equal(await valid(61_000), [ours])
    await ask(app, `${path}/rotate-secret`, { secret: ours })
    assert.equal(await valid(), all, 'the same once more leaves those before as they are')
    const last = await ask(app, `${path}/rotate-secret`, { overlap: 0 })
    assert.equal([last.object.secrets, await valid()], [1, [last.object.secret]])
    for (const overlap of [-1, 0.5, '60', 1e9]) {
      const answer = await ask(app, `${path}/rotate-secret`, { overlap })
      assert.equal(pointersOf(answer), [400, 'invalid-request', '/overlap'])
    }
    assert.equal(pointersOf(await ask(app, `${path}/rotate-secret`, { secret: 'x' })), [
      400,
      'invalid-request',
      '/secret',
    ])
    assert.equal(await valid(), [last.object.secret])
    assert.is((await show(app, path)).secret, undefined)
  }))

test('it begins again where it is told to', () =>
  withWrites(async ({ app }) => {
    const first = await create(app)
    await create(app)
    const { path } = await make(app)
    const replay = (body: unknown) => ask(app, `${path}/replay`, body)
    const all = await replay({ after: '0' })
    assert.equal([all.status, all.object.cursor], [200, '0'])
    assert.is((await replay({ after: first.cursor })).object.cursor, first.cursor)
    assert.is((await replay({ since: '2020-01-01T00:00:00Z' })).object.cursor, '0')
    assert.equal((await replay({ after: '1-00000000' })).object.code, 'log-replaced')
    assert.equal(pointersOf(await replay({})), [400, 'invalid-request', ''])
    assert.equal(pointersOf(await replay({ after: '0', since: '2020-01-01T00:00:00Z' })), [400, 'invalid-request', ''])
    assert.equal(pointersOf(await replay({ after: 0 })), [400, 'invalid-request', '/after'])
  }))

test('what is parked is listed, and asked for again', () =>
  withWrites(async ({ app, broker }) => {
    const { webhook, path } = await make(app)
    const fractal = v4()
    const parked = [3, 7].map((seq) => ({
      ...{ seq, cursor: `${seq}-0198c3a1`, type: 'TaskCompleted', uuid: fractal, attempts: 17 },
      ...{ since: Date.parse('2026-01-02T03:04:05.678Z'), error: 'it answered 500' },
    }))
    await webhookStore(broker).changeParked(webhook.id, () => parked)
    const list = await json(app.request(`${path}/parked`))
    assert.equal(webhookParkedSchema.strict().parse(list), list)
    assert.equal(list.parked[1], {
      ...{ cursor: '7-0198c3a1', type: 'TaskCompleted', uuid: fractal, attempts: 17 },
      ...{ since: '2026-01-02T03:04:05.678Z', error: 'it answered 500' },
    })
    assert.is((await show(app, path)).parked, 2)
    const retry = (body: unknown) => ask(app, `${path}/parked/retry`, body)
    for (const body of [{ cursors: ['3', '7-0198C3A1'] }, { uuid: fractal.toUpperCase() }, { all: true }]) {
      const { status, object } = await retry(body)
      assert.equal([status, object.id], [200, webhook.id])
    }
    assert.equal(
      (await webhooksOf(broker).load(webhook.id))?.retries.map(({ cursors, uuid }) => ({ cursors, uuid })),
      [
        { cursors: ['3-0198c3a1', '7-0198c3a1'], uuid: null },
        { cursors: null, uuid: fractal },
        { cursors: null, uuid: null },
      ],
    )
    const unknown = await retry({ cursors: ['3', '4'] })
    assert.equal([unknown.status, unknown.object.code], [404, 'not-found'])
    assert.match(unknown.object.detail, `cannot retry '4' of webhook '${webhook.id}': it is not parked`)
    for (const body of [{}, { all: false }, { all: true, uuid: fractal }, { cursors: [] }, { cursors: ['x'] }]) {
      assert.is((await retry(body)).status, 400, JSON.stringify(body))
    }
  }))

test('a ping is sent by whoever delivers, and told as it went; without one it is a 503', () =>
  withWrites(async ({ app, broker }) => {
    const { webhook, path } = await make(app)
    const nobody = await ask(app, `${path}/ping`)
    assert.equal([nobody.status, nobody.object.code], [503, 'subscribers-unavailable'])
    assert.ok(nobody.headers.get('retry-after'))
    const refused = { status: null, outcome: 'refused', error: 'cannot send to 127.0.0.1', answer: null } as const
    const stop = new AbortController()
    const ping = (id: string) => Promise.resolve(attempt(id, { cursor: null, fractal: null, type: 'Ping', ...refused }))
    answerPings(broker, ping, stop.signal)
    await broker.nc().flush()
    const { status, object } = await ask(app, `${path}/ping`)
    assert.is(status, 200)
    assert.equal(webhookAttemptSchema.strict().parse(object), object)
    assert.equal([object.outcome, object.error, object.cursor], ['refused', 'cannot send to 127.0.0.1', null])
    assert.is((await ask(app, `/v1/webhooks/${v4()}/ping`)).status, 404)
    assert.is((await show(app, path)).id, webhook.id)
    stop.abort()
  }))

test('attempts come newest first; without the database they are a 503', () =>
  withApi(async ({ app, db }) => {
    const { webhook, path } = await make(app)
    const others = attempt(v4())
    const failed = { status: 500, outcome: 'failed', error: 'it answered 500', answer: 'no room' } as const
    const made = [attempt(webhook.id, failed), others, attempt(webhook.id, { attempt: 2 })]
    await db.insert(webhookAttempt).values(made.map((one) => ({ ...one, at: new Date(one.at) })))
    const list = await json(app.request(`${path}/attempts`))
    assert.equal(webhookAttemptsSchema.strict().parse(list), list)
    assert.equal(
      list.attempts.map(({ attempt }: { attempt: number }) => attempt),
      [2, 1],
    )
    assert.equal(list.attempts[1], {
      ...{ at: '2026-01-02T03:04:05.678Z', event_id: made[0]?.eventId, cursor: '7-0198c3a1', type: 'TaskCompleted' },
      ...{ uuid: made[0]?.fractal, attempt: 1, status: 500, latency_ms: 12, outcome: 'failed' },
      ...{ error: 'it answered 500', answer: 'no room' },
    })
    assert.is((await json(app.request(`${path}/attempts?limit=1`))).attempts.length, 1)
    for (const query of ['limit=0', 'limit=201', 'limit=x', 'page=2']) {
      assert.is((await app.request(`${path}/attempts?${query}`)).status, 400, query)
    }
  }))

test('one that there is not is not found, and one that was deleted is gone with its secrets', () =>
  withWrites(async ({ app, broker }) => {
    const { webhook, path } = await make(app)
    const remove = () => ask(app, path, undefined, { method: 'DELETE' })
    assert.is((await remove()).status, 204)
    assert.is((await remove()).status, 204, 'again changes nothing')
    assert.equal(await webhookStore(broker).secrets(webhook.id, Date.now()), [])
    assert.equal((await webhookStore(broker).position(webhook.id)).value, null)
    assert.equal(await json(app.request('/v1/webhooks')), { webhooks: [] })
    for (const id of [webhook.id, v4(), 'none']) {
      const at = `/v1/webhooks/${id}`
      const answers = [
        await app.request(at),
        await app.request(at, {
          method: 'PATCH',
          headers: { 'content-type': 'application/json' },
          body: '{"description": "x"}',
        }),
        ...(await Promise.all(['/attempts', '/parked'].map((path) => app.request(at + path)))),
        ...(await Promise.all(['/pause', '/resume', '/rotate-secret', '/ping'].map((path) => post(app, at + path)))),
        await post(app, `${at}/replay`, { after: '0' }),
        await post(app, `${at}/parked/retry`, { all: true }),
      ]
      for (const response of answers) {
        const { code, detail } = await json(response)
        assert.equal([response.status, code], [404, 'not-found'], detail)
      }
    }
    assert.equal(await webhookStore(broker).secrets(webhook.id, Date.now()), [], 'a refused rotation leaves none')
    assert.is((await ask(app, `/v1/webhooks/${v4()}`, undefined, { method: 'DELETE' })).status, 404)
  }))

test('where what it is kept beside is lost, it is shown without a cursor, and asked for anew', () =>
  withWrites(async ({ app, broker }) => {
    const { path, webhook } = await make(app, { after: '0' })
    await webhookStore(broker).forget(webhook.id)
    const lost = await show(app, path)
    assert.equal([lost.cursor, lost.secrets], [null, 0])
    const rotated = await ask(app, `${path}/rotate-secret`)
    assert.is(rotated.object.secrets, 1)
  }))

test('what is posted is described as well', () =>
  withWrites(async ({ app }) => {
    const { webhooks, components } = await json(app.request('/openapi.json'))
    const { parameters, requestBody, responses } = webhooks.event.post
    assert.equal(
      parameters.map(({ name }: { name: string }) => name),
      ['webhook-id', 'webhook-timestamp', 'webhook-signature'],
    )
    assert.equal(Object.keys(requestBody.content), ['application/cloudevents+json'])
    assert.ok(responses['2XX'] && responses[410])
    for (const name of ['Webhook', 'WebhookWithSecret', 'WebhookAttempt', 'Ping', 'TaskCompleted']) {
      assert.ok(components.schemas[name], name)
    }
  }))

test('a head is answered as a get; where the broker is away every answer is a 503 that says when to come back', () =>
  withWrites(async (parts: Parts) => {
    const { app } = parts
    const { path } = await make(app)
    const head = await app.request(path, { method: 'HEAD' })
    assert.equal([head.status, await head.text()], [200, ''])
    assert.equal((await ask(app, path, { x: 1 })).headers.get('allow'), 'GET, HEAD, PATCH, DELETE')
    const attempts = await json(app.request(`${path}/attempts`))
    assert.equal([attempts.status, attempts.code], [503, 'database-unavailable'])
    await parts.server.kill()
    await until(() => !parts.broker.isConnected(), { what: 'the broker is away' })
    const answers = [
      await app.request('/v1/webhooks'),
      await app.request(path),
      await app.request(`${path}/parked`),
      await post(app, '/v1/webhooks', { url }),
      await post(app, '/v1/webhooks', { url, after: '0' }),
      await post(app, `${path}/pause`),
      await post(app, `${path}/resume`),
      await post(app, `${path}/rotate-secret`),
      await post(app, `${path}/ping`),
      await app.request(path, { method: 'DELETE' }),
    ]
    for (const response of answers) {
      assert.ok(response.headers.get('retry-after'))
      const { status, code } = await json(response)
      assert.equal([status, code], [503, 'log-unavailable'])
    }
  }))

test.run()
