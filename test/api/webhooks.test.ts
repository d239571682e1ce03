import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { webhookWithSecretSchema } from '../../services/api/webhook-schemas.ts'
import { onLook } from '../../services/platform/webhook-asks.ts'
import { webhookStore } from '../../services/platform/webhook-store.ts'
import { until } from '../support/until.ts'
import { ask, make, ours, pointersOf, show, url } from './webhook-requests.ts'
import { create, json, type Parts, post, withWrites } from './with-api.ts'

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
