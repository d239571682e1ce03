import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cursorOf } from '../../events/cursor.ts'
import { complete, create, fail, json, params, post, record, start, unknownUuid, withWrites } from './with-api.ts'

test('cancel ends what is not finished, once', () =>
  withWrites(async (parts) => {
    const { app, log } = parts
    const { uuid, cursor } = await create(app)
    await start(parts, uuid)
    const response = await post(app, `/v1/fractal/${uuid.toUpperCase()}/cancel`)
    const object = await json(response)
    assert.is(response.status, 200)
    assert.is(object.status, 'cancelled')
    assert.is(object.cursor, cursor)
    assert.is.not(response.headers.get('faafo-cursor'), cursor)
    const events = await log.history(uuid)
    assert.is(object.finished_at, new Date(events[2]?.recordedAt ?? 0).toISOString())
    assert.is(events[2]?.correlationid, events[0]?.id)
    assert.is(events[2]?.causationid, events[1]?.id)

    assert.equal(await json(post(app, `/v1/fractal/${uuid}/cancel`)), object)
    assert.is((await log.history(uuid)).length, 3)
  }))

test('cancel and retry are refused where the state does not allow them', () =>
  withWrites(async (parts) => {
    const { app } = parts
    const refusal = async (path: string) => {
      const response = await post(app, path)
      const { code, state } = await json(response)
      return [response.status, code, state]
    }
    const done = await create(app)
    await complete(parts, done.uuid)
    assert.equal(await refusal(`/v1/fractal/${done.uuid}/cancel`), [409, 'illegal-transition', 'completed'])
    assert.equal(await refusal(`/v1/fractal/${done.uuid}/retry`), [409, 'illegal-transition', 'completed'])
    const waiting = await create(app)
    assert.equal(await refusal(`/v1/fractal/${waiting.uuid}/retry`), [409, 'illegal-transition', 'requested'])
    for (const command of ['cancel', 'retry']) {
      assert.equal(await refusal(`/v1/fractal/${unknownUuid}/${command}`), [404, 'not-found', undefined])
      assert.equal(await refusal(`/v1/fractal/no-uuid/${command}`), [404, 'not-found', undefined])
    }
    await record(parts, { type: 'TaskDeleted', fractal: done.uuid, data: {} })
    assert.equal(await refusal(`/v1/fractal/${done.uuid}/cancel`), [410, 'removed', undefined])
    assert.equal(await refusal(`/v1/fractal/${done.uuid}/retry`), [410, 'removed', undefined])
  }))

test('retry begins a new generation of what failed or was cancelled', () =>
  withWrites(async (parts) => {
    const { app } = parts
    const { uuid, cx, created_at, cursor } = await create(app)
    await fail(parts, uuid)
    const retried = await json(post(app, `/v1/fractal/${uuid}/retry`))
    assert.equal(
      [retried.status, retried.generation, retried.error, retried.cx, retried.created_at, retried.cursor],
      ['requested', 2, null, cx, created_at, cursor],
    )
    await post(app, `/v1/fractal/${uuid}/cancel`)
    assert.is((await json(post(app, `/v1/fractal/${uuid}/retry`))).generation, 3)
  }))

test('retry mends a completed fractal whose image is missing or damaged', () =>
  withWrites(async (parts) => {
    const { app, images, imagesDir, log } = parts
    const { uuid } = await create(app)
    const first = await complete(parts, uuid)
    const key = first.type === 'TaskCompleted' ? first.data.imageKey : ''
    await images.remove(key)
    assert.is((await json(post(app, `/v1/fractal/${uuid}/retry`))).generation, 2)
    const request = (await log.history(uuid)).at(-1)
    assert.equal(request?.type === 'TaskRequested' && [request.data.cause, request.data.expectedPixelChecksum], [
      'image-lost',
      'b'.repeat(64),
    ])
    await complete(parts, uuid, undefined, 2)
    assert.is((await post(app, `/v1/fractal/${uuid}/retry`)).status, 409)
    await writeFile(join(imagesDir, key.slice(0, 2), `${key}.png`), 'other bytes')
    assert.is((await json(post(app, `/v1/fractal/${uuid}/retry`))).generation, 3)
    // Not given up by a failure: whoever has the image in a cache never sees another one.
    await fail(parts, uuid, 3)
    assert.is((await json(post(app, `/v1/fractal/${uuid}/retry`))).generation, 4)
    const last = (await log.history(uuid)).at(-1)
    assert.is(last?.type === 'TaskRequested' && last.data.expectedPixelChecksum, 'b'.repeat(64))
  }))

test('delete answers 204 always, and leaves nothing that goes on', () =>
  withWrites(async (parts) => {
    const { app, log } = parts
    const del = (uuid: string) => Promise.resolve(app.request(`/v1/fractal/${uuid}`, { method: 'DELETE' }))
    const { uuid } = await create(app)
    const answers = [await del(uuid.toUpperCase()), await del(uuid), await del(unknownUuid), await del('no-uuid')]
    assert.equal(
      answers.map((answer) => answer.status),
      [204, 204, 204, 204],
    )
    assert.is(await answers[0]?.text(), '')
    const history = await log.history(uuid)
    const types = history.map((event) => event.type)
    assert.equal(types, ['TaskRequested', 'TaskCancelled', 'TaskDeleted'])
    const cursor = cursorOf(history[2] ?? { seq: 0, id: '' })
    assert.equal(
      answers.map((answer) => answer.headers.get('faafo-cursor')),
      [cursor, cursor, null, null],
    )
    assert.equal(await log.history(unknownUuid), [])

    const done = await create(app)
    await complete(parts, done.uuid)
    await del(done.uuid)
    const rest = (await log.history(done.uuid)).map((event) => event.type)
    assert.equal(rest, ['TaskRequested', 'TaskCompleted', 'TaskDeleted'])
  }))

test('commands that race leave one outcome, and each is answered by what became of it', () =>
  withWrites(async (parts) => {
    const { another, log } = parts
    const [one, two] = [another(), another()]
    for (let round = 0; round < 15; round++) {
      const { uuid } = await create(one, params)
      const [cancel, , remove] = await Promise.all([
        post(one, `/v1/fractal/${uuid}/cancel`),
        complete(parts, uuid).catch(() => null),
        two.request(`/v1/fractal/${uuid}`, { method: 'DELETE' }),
        two.request(`/v1/fractal/${uuid}`, { method: 'DELETE' }),
      ])
      assert.is(remove.status, 204)
      assert.ok([200, 409, 410].includes(cancel.status), `${cancel.status}`)
      const events = await log.history(uuid)
      assert.is(events.filter((event) => /Completed|Cancelled/.test(event.type)).length, 1)
      assert.is(events.filter((event) => event.type === 'TaskDeleted').length, 1)
    }
  }))

test.run()
