import { headers } from 'nats'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encode } from '../../events/codec.ts'
import { type Cursor, parseCursor } from '../../events/cursor.ts'
import type { FractalEvent, NewEvent } from '../../events/events.ts'
import { decide, type OperationCommand } from '../../events/operation.ts'
import { parkedIdOf } from '../../events/parked.ts'
import { readCheckpoint } from '../../services/platform/checkpoint.ts'
import { identify } from '../../services/platform/identity.ts'
import { createLog } from '../../services/platform/log.ts'
import { runProjector } from '../../services/projector/projector.ts'
import { dropEvent, parkEvent } from '../../services/replay/park-events.ts'
import { start as begin, complete, create, fail, json, post } from '../api/with-api.ts'
import { identified } from '../platform/with-log.ts'
import { requested as newRequest } from '../projector/with-projection.ts'
import { withPglite } from '../support/database.ts'
import { decodeAsNewer, NEWER } from '../support/newer-program.ts'
import { until } from '../support/until.ts'
import { writeRaw } from '../support/write-raw.ts'
import { type Bulk, counts, status, withBulk } from './with-operator.ts'

for (const [name, database] of [
  ['PostgreSQL', undefined],
  ['the embedded database', withPglite],
] as const) {
  test(`every fractal that matches is cancelled, and nothing else is touched, with ${name}`, () =>
    withBulk(
      async (bulk) => {
        const { log } = bulk
        const waiting = await bulk.createMany(150)
        const [done, failed] = await bulk.createMany(2)
        await complete(bulk, done ?? '')
        await fail(bulk, failed ?? '')
        bulk.start()
        const id = await bulk.bulk('cancel', status('requested'))
        const { status: ended, counts: found, matched, finished_at, event_id } = await bulk.over(id)
        assert.equal([ended, found, matched], ['completed', counts(150), 150])
        assert.ok(Date.parse(finished_at ?? '') > 0)
        for (const uuid of waiting) {
          const [requested, cancelled, ...more] = await log.history(uuid)
          assert.equal(more, [])
          assert.is(cancelled?.type, 'TaskCancelled')
          assert.equal([cancelled?.causationid, cancelled?.correlationid], [event_id, requested?.id])
          assert.is(cancelled?.source, '/operator/test')
          assert.match(JSON.stringify(cancelled?.data), `asked for by bulk operation ${id}`)
        }
        assert.equal(await bulk.appendedBy(id, [done ?? '', failed ?? '']), {})
        const list = `/v1/fractal?q=${JSON.stringify({ filters: status('cancelled') })}`
        const listed = async () => (await json(bulk.app.request(list))).num_results === 150
        await until(listed, { what: 'the list shows them all as cancelled' })
      },
      database ? { database } : {},
    ))
}

test('states that do not allow it are counted as unchanged, and an empty list of filters means all', () =>
  withBulk(async (bulk) => {
    const [waiting, rendering, done] = await bulk.createMany(3)
    await begin(bulk, rendering ?? '')
    await complete(bulk, done ?? '')
    bulk.start()
    const { counts: found, matched } = await bulk.over(await bulk.bulk('cancel'))
    assert.equal([found, matched], [counts(2, 1), 3])
    assert.is((await bulk.log.load(waiting ?? '')).status, 'cancelled')
    const none = await bulk.over(await bulk.bulk('cancel', status('rendering')))
    assert.equal([none.status, none.counts, none.matched], ['completed', counts(0), 0])
  }))

test('fractals that came after the operation are none of its business', () =>
  withBulk(async (bulk) => {
    const before = await bulk.createMany(3)
    const id = await bulk.bulk('delete')
    const after = await bulk.createMany(2)
    bulk.start()
    assert.equal((await bulk.over(id)).counts, counts(3))
    assert.equal(await bulk.appendedBy(id, before), { TaskCancelled: 3, TaskDeleted: 3 })
    for (const uuid of after) assert.is((await bulk.log.load(uuid)).status, 'requested')
  }))

test('where nothing was there yet nothing is done', () =>
  withBulk(async (bulk) => {
    const id = await bulk.bulk('delete')
    bulk.start()
    assert.equal((await bulk.over(id)).counts, counts(0))
  }))

test('it waits until the table knows what was there', () =>
  withBulk(
    async (bulk) => {
      bulk.start()
      const uuids = await bulk.createMany(5)
      const id = await bulk.bulk('cancel')
      await until(async () => (await takenBy(bulk)) === 1, { what: 'the operator has it in hand' })
      assert.is((await bulk.operation(id)).status, 'requested')
      const stop = new AbortController()
      const projecting = runProjector(bulk.parts, stop.signal)
      assert.equal((await bulk.over(id)).counts, counts(5))
      assert.equal(await bulk.appendedBy(id, uuids), { TaskCancelled: 5 })
      stop.abort()
      await projecting
    },
    { projector: false },
  ))

/** Operations handed out and not acknowledged. */
async function takenBy({ broker }: Bulk): Promise<number> {
  const { aggregateStream, operateConsumer } = broker.names
  const jsm = await broker.nc().jetstreamManager()
  return (await jsm.consumers.info(aggregateStream, operateConsumer).catch(() => null))?.num_ack_pending ?? 0
}

test('what failed is retried at the rate that was asked for, each once, though it fails again', () =>
  withBulk(async (bulk) => {
    const parked = await bulk.createMany(30)
    for (const uuid of parked) await fail(bulk, uuid)
    bulk.start()
    const id = await bulk.bulk('retry', status('failed'), { rate: 20 })
    const failing = new Set<string>()
    await until(
      async () => {
        for (const uuid of parked) {
          if (failing.has(uuid) || (await bulk.log.history(uuid)).length < 3) continue
          failing.add(uuid)
          await fail(bulk, uuid, 2)
        }
        return failing.size === parked.length
      },
      { what: 'all are retried and have failed again' },
    )
    const { counts: found } = await bulk.over(id)
    assert.equal(found, counts(30))
    assert.equal(await bulk.appendedBy(id, parked), { TaskRequested: 30 })
    // 30 at 20 in a second are there after 1.45 seconds; half of it, for the first may have come late.
    const times = (await Promise.all(parked.map((uuid) => bulk.log.history(uuid))))
      .flatMap((events) => events.filter(({ type, data }) => type === 'TaskRequested' && data.generation === 2))
      .map(({ recordedAt }) => recordedAt)
      .sort((a, b) => a - b)
    const offsets = times.map((time) => time - (times[0] ?? 0))
    assert.ok((offsets.at(-1) ?? 0) >= 725, `${offsets}`)
  }))

test('what is decided on is the state that matched, not one that the table does not know yet', () =>
  withBulk(
    async (bulk) => {
      const { parts } = bulk
      const [retried, failed] = await bulk.createMany(2)
      for (const uuid of [retried, failed]) await fail(bulk, uuid ?? '')
      const project = (signal: AbortSignal) => runProjector(parts, signal)
      const first = new AbortController()
      const projecting = project(first.signal)
      await bulk.projected()
      first.abort()
      await projecting
      const id = await bulk.bulk('delete', status('failed'))
      await post(bulk.app, `/v1/fractal/${retried}/retry`)
      bulk.start()
      await until(async () => (await bulk.log.load(failed ?? '')).status === 'deleted', {
        what: 'the other is deleted',
      })
      const second = new AbortController()
      const again = project(second.signal)
      assert.equal((await bulk.over(id)).counts, counts(1, 1))
      assert.is((await bulk.log.load(retried ?? '')).status, 'requested')
      second.abort()
      await again
    },
    { projector: false },
  ))

/** Records an operation that no api of today would. */
async function request(
  { parts }: Bulk,
  changes: Partial<Extract<OperationCommand, { type: 'request' }>>,
): Promise<string> {
  const id = v4()
  const command: OperationCommand = {
    type: 'request',
    action: 'cancel',
    filters: [],
    rate: null,
    upTo: null,
    ...changes,
  }
  for (const event of decide(command, id, null)) await parts.operations.append(identify(event, '/test'))
  return id
}

test('one that cannot be carried out fails, and says why', () =>
  withBulk(async (bulk) => {
    bulk.start()
    const { uuid } = await create(bulk.app)
    const head = { fractal: uuid, event: (await bulk.log.history(uuid))[0]?.id ?? '' }
    const unknown = await bulk.over(await request(bulk, { filters: [{ name: 'mood', op: '==', val: 1 }], upTo: head }))
    assert.is(unknown.status, 'failed')
    assert.match(unknown.reason ?? '', /cannot read the query: filters\/0\/name: there is no field 'mood'/)
    const lost = await bulk.over(await request(bulk, { upTo: { ...head, event: v4() } }))
    assert.is(lost.status, 'failed')
    assert.match(lost.reason ?? '', /the log was replaced or lost its end.*request the operation anew/)
    assert.is((await bulk.log.load(uuid)).status, 'requested')
  }))

test('a fractal that a newer version wrote is counted apart, and does not stop the others', () =>
  withBulk(async (bulk) => {
    const { broker } = bulk
    const uuids = await bulk.createMany(3)
    await bulk.projected()
    const id = await bulk.bulk('cancel')
    const data = { generation: 1, entry: 1, worker: 'w', isolated: false }
    const event = identify({ type: 'TaskStarted', fractal: uuids[1] ?? '', data } as const, '/test') as FractalEvent
    const { headers: attributes, body } = encode(event)
    const head = headers()
    for (const [name, value] of Object.entries({ ...attributes, 'ce-schemaversion': '99' })) head.set(name, value)
    await broker.nc().request(broker.names.slot(event), body, { headers: head, timeout: 5_000 })
    bulk.start()
    assert.equal((await bulk.over(id)).counts, counts(2, 0, 1))
  }))

for (const [decision, expected] of [
  ['parked', counts(1, 0, 1)],
  ['dropped', counts(2)],
] as const) {
  test(`the last event of the log may be one that was ${decision} because nobody could read it`, () =>
    withBulk(async (bulk) => {
      const [, odd = ''] = await bulk.createMany(2)
      await bulk.projected()
      const data = { generation: 1, entry: 1, worker: 'w', isolated: false }
      const started: NewEvent = { type: 'TaskStarted', fractal: odd, data }
      const cursor = parseCursor(parkedIdOf(await writeRaw(bulk.server.url, started, NEWER)))
      await (decision === 'parked' ? parkEvent : dropEvent)(bulk, cursor)
      const id = await bulk.bulk('delete')
      bulk.start()
      assert.equal((await bulk.over(id)).counts, expected)
    }))
}

/** Cancels a fractal, and appends a retry of it that the database refuses, at which the projector halts. */
async function retriedTooWide(bulk: Bulk, fractal: string): Promise<Cursor> {
  const { data } = newRequest()
  await bulk.log.append(identified({ type: 'TaskCancelled', fractal, data: { generation: 1, reason: 'no' } }))
  const tooWide = { ...data, generation: 2, cause: 'retry' as const, params: { ...data.params, width: 2 ** 40 } }
  const { event } = await bulk.log.append(identified({ type: 'TaskRequested', fractal, data: tooWide }))
  const isHalted = async () => ((await readCheckpoint(bulk.db))?.halted ?? null) !== null
  await until(isHalted, { what: 'the projector halts' })
  return parseCursor(parkedIdOf(event))
}

test('a fractal of which the table holds events back is counted apart, and does not stop the others', () =>
  withBulk(async (bulk) => {
    const [uuid = ''] = await bulk.createMany(2)
    await parkEvent(bulk, await retriedTooWide(bulk, uuid))
    await bulk.projected()
    bulk.start()
    assert.equal((await bulk.over(await bulk.bulk('delete'))).counts, counts(1, 0, 1))
  }))

test('a fractal whose next event would stand where a dropped one does is counted apart, and refused by itself', () =>
  withBulk(async (bulk) => {
    const [odd = '', other = ''] = await bulk.createMany(2)
    await bulk.log.append(identified({ type: 'TaskCancelled', fractal: other, data: { generation: 1, reason: 'no' } }))
    await dropEvent(bulk, await retriedTooWide(bulk, odd))
    await bulk.projected()
    bulk.start()
    assert.equal((await bulk.over(await bulk.bulk('retry', status('cancelled')))).counts, counts(1, 0, 1))
    const refused = await post(bulk.app, `/v1/fractal/${odd}/retry`)
    const { code, detail } = await json(refused)
    assert.equal([refused.status, code], [409, 'illegal-transition'])
    assert.match(detail, /the place of what would follow is that of TaskRequested, event \d+, which was dropped/)
  }))

test('the last fractal of a batch may be one that a newer version made', () =>
  withBulk(
    async (bulk) => {
      const stop = new AbortController()
      const newer = runProjector({ ...bulk.parts, log: createLog(bulk.broker, decodeAsNewer) }, stop.signal)
      try {
        await bulk.createMany(2)
        await writeRaw(bulk.server.url, newRequest(), NEWER)
        await bulk.projected()
        bulk.start()
        assert.equal((await bulk.over(await bulk.bulk('delete'))).counts, counts(2, 0, 1))
      } finally {
        stop.abort()
        await newer
      }
    },
    { projector: false },
  ))

test.run()
