import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FractalObject } from '../../services/cli/client.ts'
import { fractal, json, problem, requested } from './scripted-api.ts'
import { failure, inTurn, parameters, withClient } from './with-client.ts'

const { uuid } = fractal()

test('a fractal as it was, and what happened to it', () =>
  withClient(
    inTurn(
      () => json(fractal()),
      () => json({ events: [{ type: 'TaskRequested' }] }),
      () => json({ events: [] }),
      () => json({ objects: [fractal()], next: '1-00000000' }),
      () => json({ objects: [], next: null }),
    ),
    async (client, seen) => {
      assert.equal(await client.get(uuid, { asOf: '2026-01-31T12:00:00+01:00' }), fractal())
      assert.equal(await client.events(uuid), [{ type: 'TaskRequested' }] as never)
      await client.events(uuid, { after: '7', types: ['TaskStarted', 'TaskFailed'], statuses: ['failed'] })
      assert.is(String(seen.at(-1)?.query), 'after=7&type=TaskStarted%2CTaskFailed&status=failed')
      for await (const one of client.all({ asOf: '42' })) assert.equal(one, fractal())
      assert.equal(
        seen.map(({ path, query }) => [path, query.get('as_of')]),
        [
          [`/v1/fractal/${uuid}`, '2026-01-31T12:00:00+01:00'],
          [`/v1/fractal/${uuid}/events`, null],
          [`/v1/fractal/${uuid}/events`, null],
          ['/v1/fractal', '42'],
          ['/v1/fractal', '42'],
        ],
      )
    },
  ))

test('a request carries a uuid that the client chose, and the same one when it is sent again', () =>
  withClient(
    inTurn(
      () => problem('log-unavailable', 503, 'cannot be sure', { 'retry-after': '0' }),
      (_, incoming) => {
        incoming.socket.destroy()
        return json({})
      },
      () => json(fractal(), 201),
    ),
    async (client, seen) => {
      assert.equal(await client.request(parameters), fractal())
      assert.is(seen.length, 3)
      const sent = seen.map(({ body }) => body as { uuid: string })
      assert.match(sent[0]?.uuid ?? '', /^[0-9a-f-]{36}$/)
      assert.equal(sent[1], sent[0])
      assert.equal(sent[2], sent[0])
      assert.equal({ ...parameters, uuid: sent[0]?.uuid }, sent[0])
    },
  ))

test('a given uuid is sent as it is, and an idempotency key in its place', () =>
  withClient(
    () => json(fractal(), 201),
    async (client, seen) => {
      await client.request({ uuid, ...parameters })
      await client.request(parameters, { idempotencyKey: 'mine' })
      await client.batch([parameters, { uuid, ...parameters }])
      assert.equal(seen[0]?.body, { uuid, ...parameters })
      assert.equal(seen[1]?.body, parameters)
      assert.is(seen[1]?.headers.get('idempotency-key'), 'mine')
      const batch = (seen[2]?.body ?? []) as { uuid: string }[]
      assert.match(batch[0]?.uuid ?? '', /^[0-9a-f-]{36}$/)
      assert.is(batch[1]?.uuid, uuid)
    },
  ))

test('an estimate is asked for with the request as it is', () => {
  const estimate = {
    iterations: 9,
    worst_case: 99,
    within_budget: true,
    budget: 1e12,
    seconds: null,
    threads: 0,
    cx: 0.1,
    cy: 0.2,
  }
  return withClient(
    () => json(estimate),
    async (client, seen) => {
      assert.equal(await client.estimate(parameters), estimate)
      assert.equal([seen[0]?.method, seen[0]?.path, seen[0]?.body], ['POST', '/v1/estimate', parameters])
    },
  )
})

test('all() reads every page after the cursor of the one before', () =>
  withClient(
    ({ query }) => {
      const from = Number(query.get('after'))
      const objects = [from + 1, from + 2].map((n) => fractal({ cursor: `${n}` }))
      return json({ objects, next: from >= 4 ? null : `${from + 2}` })
    },
    async (client, seen) => {
      const q = { filters: [{ name: 'status', op: '==', val: 'completed' }] }
      const cursors: string[] = []
      for await (const one of client.all({ resultsPerPage: 2, q })) cursors.push(one.cursor)
      assert.equal(cursors, ['1', '2', '3', '4', '5', '6'])
      assert.is(seen.length, 3)
      assert.is(seen[0]?.query.get('after'), '0')
      assert.is(seen[0]?.query.get('results_per_page'), '2')
      assert.equal(JSON.parse(seen[2]?.query.get('q') ?? ''), q)
    },
  ))

test('waitFor tells of the progress, waits an outage out and resolves to the finished fractal', () =>
  withClient(
    inTurn(
      () => json(requested()),
      () => json(requested({ status: 'rendering', progress: 0.5 })),
      () => problem('database-unavailable', 503, 'away', { 'retry-after': '60' }),
      () => json(fractal()),
    ),
    async (client) => {
      const progress: FractalObject[] = []
      const finished = await client.waitFor(uuid.toUpperCase(), { onProgress: (seen) => progress.push(seen) })
      assert.equal(finished, fractal())
      assert.equal(
        progress.map((seen) => [seen.status, seen.progress]),
        [
          ['requested', null],
          ['rendering', 0.5],
          ['completed', null],
        ],
      )
    },
  ))

test('waitFor gives up when patience ends, and when the fractal is deleted', () =>
  withClient(
    inTurn(
      () => problem('database-unavailable', 503, 'away'),
      () => problem('removed', 410, 'gone'),
    ),
    async (client) => {
      await failure('database-unavailable', () => client.waitFor(uuid, { patienceMs: 0 }))
      await failure('removed', () => client.waitFor(uuid))
    },
  ))

test('many fractals are looked at a hundred to a query, and those that the list does not have one by one', () => {
  const uuids = Array.from({ length: 150 }, (_, i) => `9c1c3d0e-5b0a-4d55-a1a7-${String(i).padStart(12, '0')}`)
  const [lagging = '', deleted = ''] = uuids
  return withClient(
    ({ path, query }) => {
      if (path.endsWith(deleted)) return problem('removed', 410, 'gone')
      if (path.endsWith(lagging)) return json(fractal({ uuid: lagging }))
      const { filters } = JSON.parse(query.get('q') ?? '{}') as { filters: { val: string[] }[] }
      const asked = filters[0]?.val ?? []
      assert.ok(asked.length <= 100)
      const objects = asked.filter((one) => one !== lagging && one !== deleted).map((one) => fractal({ uuid: one }))
      return json({ num_results: objects.length, objects, page: 1, total_pages: 1 })
    },
    async (client, seen) => {
      const sightings = []
      for await (const sighting of client.watch(uuids)) sightings.push(sighting)
      assert.is(sightings.length, 1)
      assert.is(sightings[0]?.objects.length, 149)
      assert.equal(sightings[0]?.removed, [deleted])
      assert.is(seen.length, 4)
    },
  )
})

test('an abort ends a request and a wait', () =>
  withClient(
    () => json(requested()),
    async (client) => {
      await failure('aborted', () => client.get(uuid, { signal: AbortSignal.abort() }))
      const controller = new AbortController()
      const onProgress = () => controller.abort()
      await failure('aborted', () => client.waitFor(uuid, { signal: controller.signal, onProgress }))
    },
  ))

test('an image comes with its checksum and size, as bytes or as a stream', () => {
  const bytes = new Uint8Array([1, 2, 3])
  const { checksum } = fractal()
  return withClient(
    () =>
      new Response(bytes, { headers: { etag: `"${checksum}"`, 'content-type': 'image/png', 'content-length': '3' } }),
    async (client, seen) => {
      const image = await client.image(uuid)
      assert.is(image.checksum, checksum)
      assert.is(image.size, 3)
      assert.equal(await image.bytes(), bytes)
      const pieces: number[] = []
      for await (const piece of (await client.image(uuid)).stream) pieces.push(...piece)
      assert.equal(pieces, [...bytes])
      assert.is(seen[0]?.path, `/v1/fractal/${uuid}/image`)
    },
  )
})

test('an api that is not ready says why, and that is no error', () =>
  withClient(
    () => json({ status: 'unavailable' }, 503),
    async (client) => assert.is((await client.ready()).status, 'unavailable'),
  ))

test.run()
