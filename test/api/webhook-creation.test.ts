import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { webhookListSchema } from '../../services/api/webhook-schemas.ts'
import { webhooksOf } from '../../services/platform/webhooks.ts'
import { withAdministration } from '../platform/with-log.ts'
import { ask, make, ours, pointersOf, show, url } from './webhook-requests.ts'
import { create, json, withWrites } from './with-api.ts'

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

test.run()
