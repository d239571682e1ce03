import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parkedIdOf } from '../../events/parked.ts'
import { heldEvent } from '../../services/platform/schema.ts'
import { requested } from '../projector/with-projection.ts'
import { NEWER } from '../support/newer-program.ts'
import { writeRaw } from '../support/write-raw.ts'
import { failsWith, withPictures } from './with-replay.ts'

test('a program decides about what could not be handled', () =>
  withPictures(0, async (c, { park }) => {
    const [held, late, failed, given] = [v4(), v4(), v4(), v4()]
    const error = { code: 'render-crashed', message: 'it crashed' } as const
    await c.append(
      ...[held, late, failed, given].map((uuid) => requested(uuid)),
      { type: 'TaskFailed', fractal: failed, data: { generation: 1, error, attempts: 3 } },
      { type: 'TaskFailed', fractal: given, data: { generation: 1, error, attempts: 3 } },
    )
    const started = { generation: 1, entry: 1, worker: 'newer', isolated: false }
    const ids: string[] = []
    for (const uuid of [held, late]) {
      ids.push(parkedIdOf(await writeRaw(c.server.url, { type: 'TaskStarted', fractal: uuid, data: started }, NEWER)))
    }
    const [id = '', second = ''] = ids

    assert.is((await park.event(id, { dryRun: true })).status, 'parked')
    assert.is((await park.show(id)).status, 'not parked')
    for (const one of ids) assert.equal([(await park.event(one)).id, (await park.show(one)).status], [one, 'parked'])
    await c.caughtUp()
    const listed = await park.list()
    assert.equal(
      listed.map((one) => [one.kind, one.id, one.error.code]),
      [
        ['event', id, 'undecodable-event'],
        ['event', second, 'undecodable-event'],
        ['task', failed, 'render-crashed'],
        ['task', given, 'render-crashed'],
      ],
    )
    assert.equal(await park.list({ code: 'render-crashed', limit: 1 }), listed.slice(2, 3))

    const reason = 'cannot read event 7: TaskStarted version 2 is newer than the version 1 that this program knows'
    const still = { id, fractal: held, applied: 0, error: reason }
    assert.equal(await park.retry(id, { dryRun: true }), still)
    assert.equal((await park.list())[0]?.attempts, 1)
    assert.equal(await park.retry(id), still)
    const progress: unknown[] = []
    const tried = await park.retryAll({ types: ['TaskStarted'], onProgress: (one) => progress.push(one) })
    assert.equal(
      tried.map((one) => one.id),
      ids,
    )
    assert.equal(progress, [{ done: 2, total: 2 }])
    assert.equal((await park.list())[0]?.attempts, 3)
    assert.equal(await park.retryAll({ types: ['TaskCancelled'] }), [])
    await failsWith('invalid-request', /cannot retry 0 a second: expected a number above 0/, park.retryAll({ rate: 0 }))

    await park.drop(id, { dryRun: true })
    assert.is((await park.show(id)).status, 'parked')
    for (const one of ids) await park.drop(one)
    assert.equal(await c.parts.db.select().from(heldEvent), [])
    assert.equal(await park.retry(failed), { id: failed, fractal: failed, applied: 0, error: null })
    await park.drop(given)
    await c.caughtUp()
    assert.equal(await park.list(), [])
    assert.is((await c.parts.log.load(failed)).status, 'requested')
    await failsWith('not-found', /the tables hold no such event back/, park.retry(id))
    await failsWith('illegal-transition', /only a task that failed is parked/, park.retry(failed))
    await failsWith('removed', /it was deleted/, park.drop(given))
    await failsWith('invalid-request', /cannot read 'x' as a uuid/, park.drop('x'))
  }))

test.run()
