import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fold } from '../../events/task.ts'
import { create, json, params, post, record, start, unknownUuid, withConstant, withWrites } from './with-api.ts'

test('a request is recorded once and answered with the whole object', () =>
  withWrites(async ({ app, log }) => {
    const response = await post(app, '/v1/fractal', { ...params, uuid: unknownUuid.toUpperCase() })
    const object = await json(response)
    assert.is(response.status, 201)
    assert.is(response.headers.get('location'), `/v1/fractal/${unknownUuid}`)
    assert.is(response.headers.get('faafo-cursor'), object.cursor)
    assert.is(response.headers.get('content-type'), 'application/json')
    const { created_at, cursor, cx, cy, ...rest } = object
    assert.equal(rest, {
      ...params,
      ...{ uuid: unknownUuid, status: 'requested', generation: 1, attempts: 0, error: null, progress: null },
      ...{ checksum: null, url: null, duration: null, size: null, generated_by: null, pixel_checksum: null },
      ...{ kernel_version: null, started_at: null, finished_at: null },
    })
    assert.ok(Math.abs(Date.now() - Date.parse(created_at)) < 60_000)
    const [event] = await log.history(unknownUuid)
    assert.is(event?.type, 'TaskRequested')
    assert.match(cursor, new RegExp(`^${event?.seq}-[0-9a-f]{8}$`))
    assert.equal(event?.type === 'TaskRequested' && event.data.params, { ...params, cx, cy })
    assert.equal(event?.type === 'TaskRequested' && event.data.chosen, ['cx', 'cy'])
    assert.is(event?.source, '/api/test')
  }))

test('uuid and constant are chosen where they are left out, and a trace goes into the event', () =>
  withWrites(async ({ app, log }) => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const { uuid, cx } = await json(post(app, '/v1/fractal', withConstant, { traceparent }))
    const [event] = await log.history(uuid)
    assert.is(cx, withConstant.cx)
    assert.equal(event?.type === 'TaskRequested' && event.data.chosen, ['uuid'])
    assert.is(event?.traceparent, traceparent)
    const other = await json(post(app, '/v1/fractal', params, { traceparent: 'nonsense' }))
    assert.is((await log.history(other.uuid))[0]?.traceparent, undefined)
  }))

test('the same uuid again: the same request 200, another 409, a deleted one 410', () =>
  withWrites(async (parts) => {
    const { app } = parts
    const first = await create(app, { ...params, uuid: unknownUuid })
    const again = await post(app, '/v1/fractal', { ...params, uuid: unknownUuid })
    assert.is(again.status, 200)
    assert.equal(await again.json(), first)
    await start(parts, unknownUuid)
    const later = await json(post(app, '/v1/fractal', { ...params, uuid: unknownUuid }))
    assert.is(later.status, 'rendering')
    assert.equal([later.cx, later.cy], [first.cx, first.cy])

    for (const other of [{ ...params, width: 65 }, withConstant]) {
      const refused = await post(app, '/v1/fractal', { ...other, uuid: unknownUuid })
      assert.is(refused.status, 409)
      assert.is((await json(refused)).code, 'already-exists')
    }
    await app.request(`/v1/fractal/${unknownUuid}`, { method: 'DELETE' })
    const removed = await post(app, '/v1/fractal', { ...params, uuid: unknownUuid })
    assert.is(removed.status, 410)
    assert.is((await json(removed)).code, 'removed')
  }))

test('an idempotency key gets the first answer again, whatever happened since', () =>
  withWrites(async (parts) => {
    const { app, log, another } = parts
    const headers = { 'idempotency-key': 'order 66' }
    const first = await post(app, '/v1/fractal', params, headers)
    const object = await json(first)
    assert.is(first.headers.get('idempotent-replayed'), null)
    await start(parts, object.uuid)
    const replay = await post(another(), '/v1/fractal', params, headers)
    assert.is(replay.status, 201)
    assert.is(replay.headers.get('idempotent-replayed'), 'true')
    assert.is(replay.headers.get('location'), first.headers.get('location'))
    assert.is(replay.headers.get('faafo-cursor'), first.headers.get('faafo-cursor'))
    assert.equal(await replay.json(), object)

    const named = await post(app, '/v1/fractal', { ...params, uuid: object.uuid }, headers)
    assert.is(named.status, 201)
    for (const body of [{ ...params, width: 65 }, { ...params, uuid: unknownUuid }, withConstant]) {
      const refused = await post(app, '/v1/fractal', body, headers)
      assert.is(refused.status, 422)
      assert.is((await json(refused)).code, 'idempotency-mismatch')
    }
    for (const key of ['', 'x'.repeat(256), 'caf\u00e9']) {
      assert.is((await post(app, '/v1/fractal', params, { 'idempotency-key': key })).status, 400)
    }
    await record(parts, { type: 'TaskDeleted', fractal: object.uuid, data: {} })
    assert.is((await post(app, '/v1/fractal', params, headers)).status, 410)
    assert.is(fold(await log.history(object.uuid)).status, 'deleted')
  }))

test('two apis that race on one key agree on one fractal', () =>
  withWrites(async ({ another, log }) => {
    const apis = [another(), another()]
    for (let round = 0; round < 20; round++) {
      const headers = { 'idempotency-key': `round ${round}` }
      const answers = await Promise.all([...apis, ...apis].map((app) => post(app, '/v1/fractal', params, headers)))
      const bodies = await Promise.all(answers.map((answer) => json(answer)))
      assert.equal(new Set(answers.map((answer) => answer.status)), new Set([201]))
      assert.is(answers.filter((answer) => answer.headers.get('idempotent-replayed') === null).length, 1)
      for (const body of bodies) assert.equal(body, bodies[0])
      assert.is((await log.history(bodies[0].uuid)).length, 1)
    }
  }))

test('a batch answers item by item', () =>
  withWrites(async ({ app }) => {
    const batch = [
      { ...params, uuid: unknownUuid },
      { ...params, width: 1 },
      'text',
      { ...params, uuid: unknownUuid, width: 65 },
      withConstant,
    ]
    const response = await post(app, '/v1/batch', batch)
    const { items } = await json(response)
    assert.is(response.status, 200)
    assert.equal(
      items.map((item: { index: number }) => item.index),
      [0, 1, 2, 3, 4],
    )
    assert.equal(
      items.map((item: { status: number }) => item.status).filter((_: number, i: number) => i !== 0 && i !== 3),
      [400, 400, 201],
    )
    assert.equal([items[0].status, items[3].status].sort(), [201, 409])
    assert.is(items[1].problem.errors[0].pointer, '/width')
    assert.is(items[4].uuid, items[4].object.uuid)
    assert.is(items[3].uuid, unknownUuid)

    const lines = `${JSON.stringify(params)}\r\n\n{"width":\n${JSON.stringify(withConstant)}`
    const ndjson = await json(post(app, '/v1/batch', lines, { 'content-type': 'application/x-ndjson' }))
    assert.equal(
      ndjson.items.map((item: { status: number }) => item.status),
      [201, 400, 201],
    )
    assert.is(ndjson.items[1].problem.code, 'malformed-body')
    assert.is(ndjson.items[1].uuid, null)
  }))

test('a batch has limits, and an idempotency key holds for each place in it', () =>
  withWrites(async ({ app }) => {
    assert.equal(await json(post(app, '/v1/batch', [])), { items: [] })
    const thousand = Array.from({ length: 1000 }, () => params)
    const headers = { 'idempotency-key': 'thousand' }
    const first = await json(post(app, '/v1/batch', thousand, headers))
    assert.is(new Set(first.items.map((item: { uuid: string }) => item.uuid)).size, 1000)
    assert.ok(
      first.items.every((item: { status: number; replayed?: boolean }) => item.status === 201 && !item.replayed),
    )
    const again = await json(post(app, '/v1/batch', thousand, headers))
    assert.equal(
      again.items.map((item: object) => ({ ...item, replayed: undefined })),
      first.items.map((item: object) => ({ ...item, replayed: undefined })),
    )
    assert.ok(again.items.every((item: { replayed?: boolean }) => item.replayed))
    const mixed = await json(post(app, '/v1/batch', [withConstant, params], headers))
    assert.equal(
      mixed.items.map((item: { status: number }) => item.status),
      [422, 201],
    )

    assert.is((await post(app, '/v1/batch', [...thousand, params])).status, 400)
    assert.is((await post(app, '/v1/batch', { requests: [] })).status, 400)
    assert.is((await post(app, '/v1/batch', '[1,')).status, 400)
    assert.is((await post(app, '/v1/batch', `[${' '.repeat(3_000_000)}]`)).status, 413)
  }))

test.run()
