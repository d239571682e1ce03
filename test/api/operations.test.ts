import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { dryRunSchema, operationObjectSchema } from '../../services/api/operation-schemas.ts'
import { until } from '../support/until.ts'
import { create, json, type Parts, post, withApi, withWrites } from './with-api.ts'

const failed = [{ name: 'status', op: '==', val: 'failed' }]

/** Status and body of an answer, which fits its schema. */
async function ask({ app }: Parts, body: unknown, headers: Record<string, string> = {}) {
  const response = await post(app, '/v1/operations', body, headers)
  const object = await json(response)
  if (response.ok && !object.dry_run) assert.equal(operationObjectSchema.strict().parse(object), object)
  return { response, status: response.status, object }
}

async function refusal(parts: Parts, body: unknown, headers: Record<string, string> = {}) {
  const { response, status, object } = await ask(parts, body, headers)
  assert.is(response.headers.get('content-type'), 'application/problem+json')
  return [status, object.code, object.detail]
}

test('an operation is recorded without the database, and can be looked at and stopped', () =>
  withWrites(async (parts) => {
    const { app } = parts
    await create(app)
    const { response, status, object } = await ask(parts, { action: 'retry', filters: failed, rate: 2.5 })
    assert.is(status, 202)
    assert.is(response.headers.get('location'), `/v1/operations/${object.id}`)
    assert.equal(
      [object.action, object.filters, object.rate, object.status, object.matched, object.counts, object.finished_at],
      ['retry', failed, 2.5, 'requested', null, { changed: 0, unchanged: 0, unreadable: 0 }, null],
    )
    const shown = await json(app.request(`/v1/operations/${object.id.toUpperCase()}`))
    const { updated_at: _, ...rest } = shown
    const { updated_at: __, ...first } = object
    assert.equal(rest, first)
    const stopping = await post(app, `/v1/operations/${object.id}/cancel`)
    assert.equal([stopping.status, (await json(stopping)).status], [200, 'stopping'])
    assert.is((await json(post(app, `/v1/operations/${object.id}/cancel`))).status, 'stopping')
    const metrics = await (await app.request('/metrics')).text()
    for (const type of ['OperationRequested', 'OperationStopRequested']) {
      assert.ok(metrics.includes(`faafo_events_appended_total{type="${type}"} 1\n`), metrics)
    }
  }))

test('the same id again: the same request is answered with what has become of it, another one is refused', () =>
  withWrites(async (parts) => {
    const id = v4()
    const body = { id, action: 'delete', filters: failed }
    assert.is((await ask(parts, body)).status, 202)
    await create(parts.app) // the log has grown: that makes no other request
    const again = await ask(parts, { ...body, id: id.toUpperCase(), rate: null, dry_run: false })
    assert.equal([again.status, again.object.id, again.object.status], [200, id, 'requested'])
    await post(parts.app, `/v1/operations/${id}/cancel`)
    assert.is((await ask(parts, body)).object.status, 'stopping')
    for (const other of [{ action: 'cancel' }, { filters: [] }, { rate: 1 }]) {
      assert.equal((await refusal(parts, { ...body, ...other })).slice(0, 2), [409, 'already-exists'])
    }
  }))

test('an idempotency key leads to one operation, and to its first answer', () =>
  withWrites(async (parts) => {
    const body = { action: 'cancel', filters: [] }
    const key = { 'idempotency-key': 'nightly' }
    const first = await ask(parts, body, key)
    await post(parts.app, `/v1/operations/${first.object.id}/cancel`)
    const again = await ask(parts, body, key)
    assert.is(again.response.headers.get('idempotent-replayed'), 'true')
    assert.is(again.status, 202)
    assert.equal([again.object.id, again.object.status], [first.object.id, 'requested'])
    assert.equal((await refusal(parts, { ...body, rate: 1 }, key)).slice(0, 2), [422, 'idempotency-mismatch'])
    assert.equal((await refusal(parts, { ...body, id: v4() }, key)).slice(0, 2), [422, 'idempotency-mismatch'])
    // The same key for a fractal is another matter.
    const fractal = await post(
      parts.app,
      '/v1/fractal',
      { width: 9, height: 9, iterations: 9, xa: 0, xb: 1, ya: 0, yb: 1 },
      key,
    )
    assert.is(fractal.status, 201)
  }))

test('everything that is wrong with a request is told, with a pointer', () =>
  withWrites(async (parts) => {
    const wrong = async (body: unknown) => {
      const { status, object } = await ask(parts, body)
      return [status, object.code, ...object.errors.map((error: { pointer: string }) => error.pointer)]
    }
    const good = { action: 'cancel', filters: [] }
    assert.equal(await wrong({}), [400, 'invalid-request', '/action', '/filters'])
    assert.equal(await wrong({ action: 'cancel' }), [400, 'invalid-request', '/filters'])
    assert.equal(await wrong({ ...good, action: 'render' }), [400, 'invalid-request', '/action'])
    assert.equal(await wrong({ ...good, filters: {} }), [400, 'invalid-request', '/filters'])
    for (const rate of [0, -1, 'fast', 1e9])
      assert.equal(await wrong({ ...good, rate }), [400, 'invalid-request', '/rate'])
    assert.equal(await wrong({ ...good, id: 'x', more: 1 }), [400, 'invalid-request', '/id', ''])
    const filters = [...failed, { or: [{ name: 'mood', op: '==', val: 1 }] }]
    assert.equal(await wrong({ ...good, filters }), [400, 'invalid-request', '/filters/1/or/0/name'])
    assert.equal(await wrong({ ...good, filters: [{ name: 'width', op: '==', val: 'x' }] }), [
      ...[400, 'invalid-request', '/filters/0/val'],
    ])
    const among = (length: number) => ({ name: 'width', op: 'in', val: Array(length).fill(1) })
    assert.equal(await wrong({ ...good, filters: [among(65_534)] }), [400, 'invalid-request', '/filters/0/val'])
    assert.equal(await wrong({ ...good, filters: [among(6_000), { or: [among(6_000)] }] }), [
      ...[400, 'invalid-request', '/filters/1/or/0/val'],
    ])
    const large = { ...good, filters: [{ name: 'uuid', op: 'in', val: Array.from({ length: 7_000 }, () => v4()) }] }
    assert.equal((await refusal(parts, large)).slice(0, 2), [413, 'body-too-large'])
  }))

test('an operation that there is not is not found', () =>
  withWrites(async ({ app }) => {
    for (const id of [v4(), 'none']) {
      for (const response of [
        await app.request(`/v1/operations/${id}`),
        await post(app, `/v1/operations/${id}/cancel`),
      ]) {
        const { code, detail } = await json(response)
        assert.equal([response.status, code], [404, 'not-found'])
        assert.match(detail, `cannot find operation '${id}'`)
      }
    }
  }))

test('a dry run tells how many match, and records nothing', () =>
  withApi(async (parts) => {
    const { app, broker } = parts
    for (let i = 0; i < 3; i++) await create(app)
    const dry = await ask(parts, { action: 'delete', filters: [], dry_run: true })
    assert.is(dry.status, 200)
    assert.equal(dryRunSchema.strict().parse(dry.object), { dry_run: true, action: 'delete', filters: [], matched: 3 })
    const none = await ask(parts, { action: 'retry', filters: failed, dry_run: true })
    assert.is(none.object.matched, 0)
    const jsm = await broker.nc().jetstreamManager()
    assert.is((await jsm.streams.info(broker.names.aggregateStream)).state.messages, 0)
  }))

test('a dry run needs the database, and a broker that is away is a 503 that names the id', () =>
  withWrites(async (parts) => {
    const body = { action: 'delete', filters: [] }
    assert.equal((await refusal(parts, { ...body, dry_run: true })).slice(0, 2), [503, 'database-unavailable'])
    await parts.server.kill()
    await until(() => !parts.broker.isConnected(), { what: 'the broker is away' })
    const id = v4()
    const { status, object } = await ask(parts, { ...body, id })
    assert.equal([status, object.code, object.uuid], [503, 'log-unavailable', id])
  }))

test.run()
