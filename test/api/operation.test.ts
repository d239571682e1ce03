import { Validator } from '@seriousme/openapi-schema-validator'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createMetrics } from '../../services/api/metrics.ts'
import { fractalObjectSchema, readySchema, statusSchema } from '../../services/api/schemas.ts'
import { createLogger } from '../../services/platform/logger.ts'
import { announce } from '../../services/platform/presence.ts'
import { renderQueue } from '../../services/platform/work-queue.ts'
import { until } from '../support/until.ts'
import { complete, create, json, keptLog, params, post, start, unknownUuid, withApi } from './with-api.ts'

const quiet = createLogger('test', { logLevel: 'silent' })
const presence = {
  id: 'p1',
  name: 'w1',
  host: 'h1',
  version: '0.1.0',
  threads: 4,
  tasks: ['t'],
  state: 'working',
} as const

test('readiness says what is well, what is degraded and why', () =>
  withApi(async ({ app, another, broker, live, server, images }) => {
    const ready = async (api = app) => {
      const response = await api.request('/readyz')
      const body = readySchema.parse(await json(response))
      return { status: response.status, body }
    }
    assert.equal(await json(app.request('/healthz')), { status: 'ok' })
    const { status, body } = await ready()
    assert.is(status, 200)
    assert.is(body.status, 'degraded')
    assert.equal(body.broker, { status: 'ok', version: server.version, replicas: 1 })
    assert.is(body.durability.status, 'degraded')
    assert.match(body.durability.reason ?? '', /every 2m/)
    assert.equal([body.database.status, body.storage.status, body.projection.status], ['ok', 'ok', 'ok'])
    assert.match(body.workers.reason ?? '', /no worker/)

    announce(broker, broker.names.presence('p1'), { ...presence, tasks: [] })
    await until(() => live.workers().length === 1, { what: 'the worker is heard' })
    const safe = await ready(another({ syncInterval: 'always' }))
    const old = /^2\.[0-9]\./.test(server.version)
    assert.is(safe.body.durability.status, old ? 'degraded' : 'ok')
    assert.is(safe.body.status, old ? 'degraded' : 'ok')
    assert.equal(safe.body.workers, { status: 'ok', seen: 1 })
    assert.match((await ready(another({ syncInterval: undefined }))).body.durability.reason ?? '', /nobody said/)

    const failing = { ...images, check: () => Promise.reject(new Error('/secret')) }
    const storage = await ready(another({ images: failing }))
    assert.is(storage.status, 200)
    assert.is(storage.body.storage.status, 'degraded')
    assert.not.match(JSON.stringify(storage.body), /secret/)
  }))

test('readiness is logged where it changed, with what is amiss', async () => {
  const { logger, lines } = keptLog()
  await withApi(
    async ({ another, images }) => {
      let error: Error | null = null
      const check = () => (error ? Promise.reject(error) : Promise.resolve())
      const app = another({ logger, images: { ...images, check } })
      const changes = () => lines().filter(({ msg }) => msg === 'readiness changed')
      await app.request('/readyz')
      await app.request('/readyz')
      assert.is(changes().length, 1)
      assert.equal([changes()[0].level, changes()[0].status, changes()[0].storage], [40, 'degraded', undefined])
      assert.match(changes()[0].workers, /no worker/)
      error = new Error('away')
      await app.request('/readyz')
      await app.request('/readyz')
      assert.is(changes().length, 2)
      assert.match(changes()[1].storage, /does not answer/)
      assert.ok(lines().every(({ level, msg }) => level <= 20 || msg === 'readiness changed'))
    },
    { database: 'away' },
  )
})

test('readiness tells of a projection that stands still', () =>
  withApi(
    async ({ app, another, log }) => {
      await create(app)
      const slow = another({
        log: {
          ...log,
          async messageAt(seq) {
            const message = await log.messageAt(seq)
            return message && { ...message, recordedAt: Date.now() - 60_000 }
          },
        },
      })
      const { projection } = await json(slow.request('/readyz'))
      assert.equal([projection.status, projection.seq, projection.lag_events], ['degraded', 0, 1])
      assert.match(projection.reason, /1 events and 60 s behind/)
    },
    { projector: false },
  ))

test('a full log is 507, and this api is not ready for a while', () =>
  withApi(
    async ({ app, another, broker }) => {
      const { uuid } = await create(app)
      const { stream } = broker.names
      const { config, state } = await (await broker.nc().jetstreamManager()).streams.info(stream)
      const full = { ...config, max_bytes: state.bytes + 1, discard: 'new' }
      await broker.nc().request(`$JS.API.STREAM.UPDATE.${stream}`, JSON.stringify(full))
      for (const answer of [
        await post(app, '/v1/fractal', params),
        await post(app, `/v1/fractal/${uuid}/cancel`),
        await post(app, '/v1/batch', [params, params]),
      ]) {
        assert.is(answer.status, 507)
        assert.is((await json(answer)).code, 'log-full')
      }
      const ready = await app.request('/readyz')
      assert.is(ready.status, 503)
      assert.match((await json(ready)).broker.reason, /maximum bytes/)
      const other = another()
      assert.is((await other.request('/readyz')).status, 200)

      await broker.nc().request(`$JS.API.STREAM.UPDATE.${stream}`, JSON.stringify({ ...full, max_bytes: -1 }))
      await create(app)
      assert.is((await app.request('/readyz')).status, 200)
    },
    { database: 'away' },
  ))

test('status shows the queue, the workers and the lag', () =>
  withApi(async (parts) => {
    const { app, broker, live } = parts
    const status = async () => statusSchema.parse(await json(app.request('/v1/status')))
    const first = await create(app)
    await create(app)
    await app.request('/v1/fractal')
    const before = await status()
    assert.equal([before.queue.depth, before.queue.waiting, before.queue.in_hand], [2, 2, 0])
    assert.is(before.queue.oldest_waiting?.uuid, first.uuid)
    assert.is(before.queue.oldest_waiting?.created_at, first.created_at)
    assert.equal(before.workers, [])
    assert.equal([before.projection.status, before.projection.seq, before.projection.lag_events], ['ok', 2, 0])

    const stop = new AbortController()
    for await (const delivery of renderQueue(broker, quiet).ask(1, stop.signal)) {
      assert.is(delivery.event().fractal, first.uuid)
      stop.abort()
    }
    announce(broker, broker.names.presence('p1'), { ...presence, tasks: [first.uuid] })
    announce(broker, broker.names.presence('p2'), { ...presence, id: 'p2', name: 'w2', tasks: [] })
    await until(() => live.workers().length === 2, { what: 'both workers are heard' })
    announce(broker, broker.names.presence('p2'), { ...presence, id: 'p2', name: 'w2', tasks: [], state: 'stopping' })
    await until(() => live.workers().length === 1, { what: 'one worker is gone' })
    const after = await status()
    assert.equal([after.queue.depth, after.queue.waiting, after.queue.in_hand], [2, 1, 1])
    const { id: _, ...shown } = presence
    assert.equal(after.workers, [{ ...shown, tasks: [first.uuid] }])

    const second = new AbortController()
    for await (const _ of renderQueue(broker, quiet).ask(1, second.signal)) second.abort()
    const none = await status()
    assert.equal([none.queue.waiting, none.queue.oldest_waiting], [0, null])
  }))

test('metrics count requests by route and appended events by type', () =>
  withApi(async ({ another }) => {
    const app = another({ metrics: createMetrics({ ofProcess: true }) })
    const { uuid } = await create(app)
    await app.request(`/v1/fractal/${uuid}`)
    await app.request(`/v1/fractal/${uuid}`, { method: 'DELETE' })
    await app.request('/nowhere')
    await app.request('/v1/fractal', { method: 'PATCH' })
    await app.request('/v1/fractal') // waits until the table, of which the queue is counted, is so far
    const response = await app.request('/metrics')
    const text = await response.text()
    assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=/)
    for (const line of [
      'faafo_http_request_duration_seconds_count{route="/v1/fractal",method="POST",status="201"} 1',
      'faafo_http_request_duration_seconds_count{route="/v1/fractal/:uuid",method="GET",status="200"} 1',
      'faafo_http_request_duration_seconds_count{route="(none)",method="GET",status="404"} 1',
      'faafo_http_request_duration_seconds_count{route="(none)",method="PATCH",status="405"} 1',
      'faafo_events_appended_total{type="TaskRequested"} 1',
      'faafo_events_appended_total{type="TaskCancelled"} 1',
      'faafo_events_appended_total{type="TaskDeleted"} 1',
      'faafo_queue_depth 0',
      'faafo_workers 0',
    ]) {
      assert.ok(text.includes(`${line}\n`), `${line} in\n${text}`)
    }
    assert.match(text, /process_cpu_seconds_total \d/)
  }))

test('the OpenAPI document is valid 3.1 and names every route', () =>
  withApi(
    async ({ app }) => {
      const document = await json(app.request('/openapi.json'))
      const { valid, errors } = await new Validator().validate(document)
      assert.ok(valid, JSON.stringify(errors))
      assert.is(document.openapi, '3.1.0')
      const documented = Object.entries<object>(document.paths).flatMap(([path, operations]) =>
        Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
      )
      const pages = /^GET \/(index.*|docs.*|favicon.ico)?$/
      const served = app.routes
        .filter((route) => route.method !== 'ALL')
        .map((route) => `${route.method} ${route.path.replace(/:(\w+)/g, '{$1}')}`)
        .filter((route) => !pages.test(route))
      assert.equal(new Set(documented), new Set(served))
      for (const path of ['/fractal/{uuid}', '/v1/fractal/{uuid}/image']) {
        for (const min_seq of ['x', '1-00000000']) {
          const { status } = await app.request(`${path.replace('{uuid}', unknownUuid)}?min_seq=${min_seq}`)
          assert.ok(status in document.paths[path].get.responses, `${status} of ${path}`)
        }
      }
      const names = Object.keys(document.components.schemas.Fractal.properties)
      assert.equal(names.sort(), Object.keys(fractalObjectSchema.shape).sort())
    },
    { database: 'away' },
  ))

test('answers fit the schemas that the document is made from', () =>
  withApi(async (parts) => {
    const { app } = parts
    const { uuid } = await create(app)
    await start(parts, uuid)
    const { seq } = await complete(parts, uuid)
    await create(app)
    const { objects } = await json(app.request(`/v1/fractal?min_seq=${seq}`))
    for (const object of objects) assert.equal(fractalObjectSchema.strict().parse(object), object)
  }))

test('the reference page loads everything from here, and problem types can be looked up', () =>
  withApi(
    async ({ app }) => {
      const page = await (await app.request('/docs')).text()
      const links = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? '')
      assert.is(links.length, 4)
      for (const link of links) {
        assert.ok(link.startsWith('/docs/'), link)
        const response = await app.request(link)
        assert.is(response.status, 200, link)
        assert.ok((await response.arrayBuffer()).byteLength > 50)
      }
      const problem = await json(app.request('/v1/fractal/nothing'))
      assert.equal(await json(app.request(problem.type)), { code: 'not-found', status: 404, title: problem.title })
      assert.is((await app.request('/problems/constructor')).status, 404)
    },
    { database: 'away' },
  ))

test.run()
