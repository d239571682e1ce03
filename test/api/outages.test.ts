import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { withOwnPostgres } from '../support/database.ts'
import { freeze } from '../support/freeze.ts'
import { until } from '../support/until.ts'
import { complete, create, json, type Parts, params, post, smallPng, unknownUuid, withApi } from './with-api.ts'

const brokerAway = (parts: Parts) => until(() => !parts.broker.isConnected(), { what: 'the broker is missed' })
const brokerBack = async ({ app }: Parts) =>
  until(async () => (await app.request('/readyz')).status === 200, { what: 'the api can append again' })

test('while the broker is away writes are 503 and name the uuid, and reads go on', () =>
  withApi(async (parts) => {
    const { app, server } = parts
    const { uuid } = await create(app)
    const { seq } = await complete(parts, uuid)
    await app.request(`/v1/fractal?min_seq=${seq}`)
    await create(app)
    const list = await json(app.request('/v1/fractal'))
    await server.kill()
    await brokerAway(parts)

    const away = async (answer: Promise<Response> | Response, uuid?: string) => {
      const response = await answer
      const body = await json(response)
      assert.equal([response.status, body.code], [503, 'log-unavailable'])
      assert.ok(Number(response.headers.get('retry-after')) > 0)
      if (uuid) assert.is(body.uuid, uuid)
      return body
    }
    assert.match((await away(post(app, '/v1/fractal', params))).uuid, /^[0-9a-f-]{36}$/)
    await away(post(app, '/v1/fractal', { ...params, uuid: unknownUuid }), unknownUuid)
    await away(post(app, `/v1/fractal/${uuid}/cancel`), uuid)
    await away(post(app, `/v1/fractal/${uuid}/retry`), uuid)
    await away(app.request(`/v1/fractal/${uuid}`, { method: 'DELETE' }), uuid)
    const batch = await away(
      post(
        app,
        '/v1/batch',
        Array.from({ length: 500 }, () => params),
      ),
    )
    assert.is(batch.items.length, 500)
    assert.is(new Set(batch.items.map((item: { problem: { uuid: string } }) => item.problem.uuid)).size, 500)
    assert.is((await post(app, '/v1/fractal', { ...params, width: 0 })).status, 400)

    assert.equal(await json(app.request('/v1/fractal')), list)
    assert.is((await app.request(`/v1/fractal/${uuid}`)).status, 200)
    assert.equal(new Uint8Array(await (await app.request(`/fractal/${uuid}`)).arrayBuffer()), smallPng)
    assert.is((await app.request(`/v1/fractal?min_seq=${list.objects[0].cursor}`)).status, 200)
    assert.is((await app.request('/')).status, 200)
    await away(app.request(`/v1/fractal/${unknownUuid}`))
    const ready = await app.request('/readyz')
    assert.is(ready.status, 503)
    const health = await json(ready)
    assert.equal([health.status, health.broker.status, health.database.status], ['unavailable', 'unavailable', 'ok'])
    const status = await json(app.request('/v1/status'))
    assert.equal([status.queue.depth, status.projection.status], [null, 'degraded'])
    assert.is((await app.request('/metrics')).status, 200)
    assert.is((await app.request('/healthz')).status, 200)

    await server.restart()
    await brokerBack(parts)
    assert.is((await post(app, '/v1/fractal', { ...params, uuid: unknownUuid })).status, 201)
  }))

test('a broker that hangs is answered for in time', () =>
  withApi(
    async (parts) => {
      const { app, server } = parts
      const { uuid } = await create(app)
      await freeze(server.pid())
      try {
        const answers = await Promise.all([
          post(app, '/v1/fractal', { ...params, uuid: unknownUuid }),
          app.request(`/v1/fractal/${uuid}`, { method: 'DELETE' }),
          app.request('/readyz'),
        ])
        assert.equal(
          answers.map((answer) => answer.status),
          [503, 503, 503],
        )
        assert.is((await json(answers[0] ?? new Response())).uuid, unknownUuid)
      } finally {
        process.kill(server.pid(), 'SIGCONT')
      }
      await brokerBack(parts)
      const again = await post(app, '/v1/fractal', { ...params, uuid: unknownUuid })
      assert.ok([200, 201].includes(again.status))
    },
    { database: 'away' },
  ))

test('while the database is away writes go on and reads are 503', () =>
  withApi(
    async (parts) => {
      const { app, database } = parts
      const before = await create(app)
      await app.request('/v1/fractal')
      await database?.kill()
      const { uuid } = await create(app)
      assert.is((await post(app, `/v1/fractal/${uuid}/cancel`)).status, 200)
      assert.is((await app.request(`/v1/fractal/${before.uuid}`, { method: 'DELETE' })).status, 204)
      assert.is((await post(app, '/v1/batch', [params])).status, 200)
      for (const path of [
        '/v1/fractal',
        `/v1/fractal/${uuid}`,
        `/fractal/${uuid}`,
        '/v1/fractal?results_per_page=-1',
        '/v1/fractal?after=0',
        '/v1/fractal?min_seq=5',
        '/v1/fractal?as_of=5',
        '/index/2',
      ]) {
        const response = await app.request(path)
        assert.is(response.status, 503, path)
        assert.is((await json(response)).code, 'database-unavailable')
        assert.ok(Number(response.headers.get('retry-after')) > 0)
      }
      const page = await app.request('/', { headers: { accept: 'text/html,*/*' } })
      assert.is(page.status, 503)
      assert.match(await page.text(), /<h2>The database cannot be reached/)
      const ready = await app.request('/readyz')
      assert.is(ready.status, 200)
      const health = await json(ready)
      assert.equal(
        [health.status, health.database.status, health.projection.status],
        ['degraded', 'degraded', 'degraded'],
      )
      assert.is((await json(app.request('/v1/status'))).queue.oldest_waiting, null)

      await database?.restart()
      await until(async () => (await app.request('/v1/fractal')).status === 200, { what: 'reads are back' })
      await until(async () => (await json(app.request('/v1/fractal'))).num_results === 2, {
        what: 'the tables caught up',
      })
    },
    { database: withOwnPostgres },
  ))

test('a database that hangs, and one that nobody has set up, are 503 too', async () => {
  await withApi(
    async ({ app, database, db }) => {
      const { uuid } = await create(app)
      await app.request('/v1/fractal')
      const pid = database?.pid() ?? 0
      const { rows } = { rows: await db.execute('select pid from pg_stat_activity where backend_type is not null') }
      const pids = [pid, ...rows.map((row) => Number(row.pid))]
      await Promise.all(pids.map(freeze))
      try {
        assert.is((await app.request('/v1/fractal')).status, 503)
        assert.is((await app.request(`/v1/fractal/${uuid}`)).status, 503)
        assert.is((await post(app, '/v1/fractal', params)).status, 201)
      } finally {
        for (const each of pids) process.kill(each, 'SIGCONT')
      }
      await until(async () => (await app.request('/v1/fractal')).status === 200, { what: 'reads are back' })
      await db.execute('drop table fractal')
      const response = await app.request('/v1/fractal')
      assert.is(response.status, 503)
      assert.match((await json(response)).detail, /not set up/)
    },
    { projector: false, database: withOwnPostgres },
  )
})

test.run()
