import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError } from '../../events/errors.ts'
import { carryOut, type OperatorParts } from '../../services/operator/carry-out.ts'
import type { Db } from '../../services/platform/database.ts'
import { fail, json, post } from '../api/with-api.ts'
import { withOwnPostgres } from '../support/database.ts'
import { until } from '../support/until.ts'
import { counts, freezingAfter, status, typesOf, withBulk } from './with-operator.ts'

for (const { action, last, filters, before } of [
  { action: 'cancel', last: 'TaskCancelled', filters: status('requested'), before: null },
  { action: 'retry', last: 'TaskRequested', filters: status('failed'), before: fail },
  { action: 'delete', last: 'TaskDeleted', filters: undefined, before: null },
] as const) {
  test(`${action}: killed between an append and its progress it goes on elsewhere, and does nothing twice`, () =>
    withBulk(async (bulk) => {
      const uuids = await bulk.createMany(40)
      for (const uuid of uuids) await before?.(bulk, uuid)
      const id = await bulk.bulk(action, filters)
      const dead = freezingAfter(bulk, 15, last)
      void dead.begin(id)
      await until(dead.isFrozen, { what: 'the first executor has stopped dead' })
      await bulk.projected() // what it changed matches no more
      assert.equal((await bulk.operation(id)).counts, counts(0))
      if (action === 'retry') {
        for (const uuid of uuids) {
          if ((await bulk.log.history(uuid)).length === 3) await fail(bulk, uuid, 2)
        }
        await bulk.projected() // and some match again
      }
      bulk.start()
      const { counts: found, matched } = await bulk.over(id)
      assert.equal([found, matched], [counts(40), 40])
      dead.stop()
      dead.release()
      const half = action === 'delete' ? { TaskCancelled: 40 } : {}
      assert.equal(await bulk.appendedBy(id, uuids), { ...half, [last]: 40 })
    }))
}

test('a delete that died between its two events is finished, although its fractal does not match any more', () =>
  withBulk(async (bulk) => {
    const [uuid] = await bulk.createMany(1)
    const id = await bulk.bulk('delete', status('requested'))
    const dead = freezingAfter(bulk, 1, 'TaskCancelled')
    void dead.begin(id)
    await until(dead.isFrozen, { what: 'the fractal is cancelled' })
    await bulk.projected()
    bulk.start()
    assert.equal((await bulk.over(id)).counts, counts(1))
    assert.equal(typesOf(await bulk.log.history(uuid ?? '')), ['TaskRequested', 'TaskCancelled', 'TaskDeleted'])
    dead.stop()
    dead.release()
  }))

test('of two that carry out the same operation one goes on, and nothing is done twice', () =>
  withBulk(async (bulk) => {
    const uuids = await bulk.createMany(300)
    const id = await bulk.bulk('cancel', [], { rate: 200 })
    const signal = new AbortController().signal
    const endings = await Promise.all([1, 2].map(() => carryOut(bulk.parts, id, signal)))
    assert.ok(endings.includes('over'))
    assert.equal((await bulk.over(id)).counts, counts(300))
    assert.equal(await bulk.appendedBy(id, uuids), { TaskCancelled: 300 })
  }))

test('an executor that wakes up after another one has gone on leaves, and changes nothing', () =>
  withBulk(async (bulk) => {
    const uuids = await bulk.createMany(40)
    const id = await bulk.bulk('cancel')
    const slow = freezingAfter(bulk, 10, 'TaskCancelled')
    const ending = slow.begin(id)
    await until(slow.isFrozen, { what: 'the first executor sleeps' })
    bulk.start()
    await bulk.over(id)
    for (const uuid of uuids) await post(bulk.app, `/v1/fractal/${uuid}/retry`)
    slow.release()
    assert.is.not(await ending, 'stopped')
    assert.equal((await bulk.operation(id)).counts, counts(40))
    assert.equal(await bulk.appendedBy(id, uuids), { TaskCancelled: 40 })
    for (const uuid of uuids) assert.is((await bulk.log.load(uuid)).status, 'requested')
  }))

test('an operation in hand is handed back when its operator stops, and goes on with the next one', () =>
  withBulk(async (bulk) => {
    const uuids = await bulk.createMany(60)
    const first = bulk.start()
    const id = await bulk.bulk('cancel', [], { rate: 30 })
    await until(async () => (await bulk.operation(id)).counts.changed > 0, { what: 'it has begun' })
    await first.stop()
    assert.is((await bulk.operation(id)).status, 'running')
    bulk.start()
    assert.equal((await bulk.over(id)).counts, counts(60))
    assert.equal(await bulk.appendedBy(id, uuids), { TaskCancelled: 60 })
  }))

test('one that is stopped changes nothing more, and says what it had changed', () =>
  withBulk(async (bulk) => {
    const uuids = await bulk.createMany(60)
    bulk.start()
    const id = await bulk.bulk('cancel', [], { rate: 10 })
    await until(async () => (await bulk.operation(id)).counts.changed > 0, { what: 'it has begun' })
    const stopping = await json(post(bulk.app, `/v1/operations/${id}/cancel`))
    assert.is(stopping.status, 'stopping')
    const { status: ended, counts: found } = await bulk.over(id)
    assert.is(ended, 'cancelled')
    assert.ok(found.changed > 0 && found.changed < 60)
    assert.equal(await bulk.appendedBy(id, uuids), { TaskCancelled: found.changed })
    assert.is((await json(post(bulk.app, `/v1/operations/${id}/cancel`))).status, 'cancelled')
  }))

test('one that was stopped before anybody began it ends without the table', () =>
  withBulk(
    async (bulk) => {
      await bulk.createMany(1)
      bulk.start()
      const id = await bulk.bulk('delete')
      await post(bulk.app, `/v1/operations/${id}/cancel`)
      const { status: ended, counts: found } = await bulk.over(id)
      assert.equal([ended, found], ['cancelled', counts(0)])
    },
    { projector: false },
  ))

test('a filter that takes the database too long ends its operation, which says so', () =>
  withBulk(async (bulk) => {
    await bulk.createMany(1)
    await bulk.projected()
    const { db } = bulk.parts
    const slow: Db = new Proxy(db, {
      get(target, name) {
        if (name !== 'select') return Reflect.get(target, name)
        throw Object.assign(new Error('given up'), { code: 'CONNECTION_DESTROYED' }) // as after half a minute
      },
    })
    const id = await bulk.bulk('cancel')
    assert.is(await carryOut({ ...bulk.parts, db: slow }, id, new AbortController().signal), 'over')
    const { status: ended, reason } = await bulk.operation(id)
    assert.is(ended, 'failed')
    assert.match(reason ?? '', /its filter takes the database too long; request several operations/)
  }))

test('one that fails says what it had changed', () =>
  withBulk(async (bulk) => {
    const uuids = await bulk.createMany(5)
    const id = await bulk.bulk('delete')
    let reads = 0
    const replaced: OperatorParts['log'] = {
      ...bulk.log,
      async wholeHistory(uuid) {
        if (reads++ === 0) return bulk.log.wholeHistory(uuid) // up to which fractal it goes
        throw new FaafoError('log-replaced', 'cannot go on: the log was replaced')
      },
    }
    assert.is(await carryOut({ ...bulk.parts, log: replaced }, id, new AbortController().signal), 'over')
    const { status: ended, reason, counts: found } = await bulk.operation(id)
    assert.equal([ended, reason, found], ['failed', 'cannot go on: the log was replaced', counts(5)])
    assert.equal(await bulk.appendedBy(id, uuids), { TaskCancelled: 5, TaskDeleted: 5 })
  }))

test('an outage of the database and of the broker is waited out', () =>
  withBulk(
    async (bulk) => {
      const { server, database } = bulk
      const uuids = await bulk.createMany(80)
      bulk.start()
      const id = await bulk.bulk('cancel', [], { rate: 20 })
      const changed = () =>
        bulk.operation(id).then(
          (operation) => operation.counts?.changed ?? 0,
          () => 0,
        )
      await until(async () => (await changed()) > 0, { what: 'it has begun' })
      await database?.kill()
      await database?.restart()
      await until(async () => (await changed()) > 25, { what: 'it goes on' })
      await server.kill()
      await server.restart()
      await until(async () => (await changed()) === 80, { what: 'it ends', withinMs: 90_000 })
      assert.equal((await bulk.over(id)).counts, counts(80))
      assert.equal(await bulk.appendedBy(id, uuids), { TaskCancelled: 80 })
    },
    { database: withOwnPostgres },
  ))

test.run()
