import { asc } from 'drizzle-orm'
import fc from 'fast-check'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseCursor } from '../../events/cursor.ts'
import type { NewEvent } from '../../events/events.ts'
import { parkedIdOf } from '../../events/parked.ts'
import { loadParked, parkedEvents } from '../../services/platform/parked-events.ts'
import { fractal, fractalVersion, heldEvent } from '../../services/platform/schema.ts'
import { compareTable, rebuild } from '../../services/projector/rebuild.ts'
import { retryHeld } from '../../services/projector/retry-held.ts'
import { dropEvent } from '../../services/replay/park-events.ts'
import { compareWithLog } from '../support/compare-with-log.ts'
import { withPglite, withPostgres } from '../support/database.ts'
import { completed, legalHistory } from '../support/legal-history.ts'
import { decodeAsNewer } from '../support/newer-program.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { until } from '../support/until.ts'
import { writeRaw } from '../support/write-raw.ts'
import { cancelled, heldOf, newer, park, writeNewer } from './held-events.ts'
import { type Projection, requested, withProjection } from './with-projection.ts'
import { signal, withTable } from './with-table.ts'

const tablesOf = async ({ parts: { db } }: Projection) => {
  const tables = {
    rows: await db.select().from(fractal).orderBy(asc(fractal.uuid)),
    versions: await db.select().from(fractalVersion).orderBy(asc(fractalVersion.firstSeq), asc(fractalVersion.lastSeq)),
    held: await db.select().from(heldEvent).orderBy(asc(heldEvent.seq)),
  }
  return JSON.parse(JSON.stringify(tables)) as typeof tables
}

/** Legal histories, mixed, of which one event in ten is of a future version; resolves to the cursors of those. */
async function writeMixed(p: Projection, seed: number): Promise<string[]> {
  const random = seededRandom(seed)
  const histories = fc
    .sample(legalHistory, { seed, numRuns: 25 })
    .map((history) => ({ uuid: v4(), events: [...history] as NewEvent[] }))
  const ids: string[] = []
  for (;;) {
    const left = histories.filter(({ events }) => events.length > 0)
    const one = left[Math.floor(random() * left.length)]
    const event = one?.events.shift()
    if (!one || !event) return ids
    const { type, data } = event
    const ours = { type, data, fractal: one.uuid } as NewEvent
    if (random() < 0.1) ids.push(await writeNewer(p, ours))
    else await p.append(ours)
  }
}

for (const [name, withDatabase] of [
  ['PostgreSQL', withPostgres],
  ['PGlite', withPglite],
] as const) {
  test(`${name}: held back, retried, dropped and rebuilt tables are equal`, () =>
    withProjection(withDatabase, async (p) => {
      const seed = Math.floor(Math.random() * 2 ** 31)
      console.log(`seed ${seed}`)
      const ids = await writeMixed(p, seed)
      for (const id of ids) await park(p, id)
      const older = p.start()
      await p.caughtUp()
      const heldBack = await tablesOf(p)
      assert.is(heldBack.held.filter(({ error }) => error !== null).length, ids.length)
      assert.is((await rebuild(p.parts, { signal })).differing, 0)
      assert.equal(await tablesOf(p), heldBack)
      await older.stop()

      // all of it, by a newer program: what it keeps is the fold of the log, in its eyes
      await retryHeld(newer(p), [...new Set(heldBack.held.map((row) => row.fractal))], { asked: true })
      const retried = await tablesOf(p)
      assert.equal(retried.held, [])
      assert.equal((await compareWithLog(newer(p))).differences, [])
      await rebuild(newer(p), { signal })
      assert.equal(await tablesOf(p), retried)

      // some dropped by the older program, then all that is left by the newer one
      await rebuild(p.parts, { signal })
      assert.equal(await tablesOf(p), heldBack)
      for (const id of ids.filter((_, i) => i % 3 === 0)) await dropEvent(p.parts, parseCursor(id))
      const dropped = await tablesOf(p)
      await rebuild(p.parts, { signal })
      assert.equal(await tablesOf(p), dropped)
      p.start({ decode: decodeAsNewer })
      await until(async () => (await heldOf(p)).length === 0, {
        what: 'the newer projector applied what was held back',
      })
      const whole = await tablesOf(p)
      assert.is((await compareTable(newer(p), { signal })).differing, 0)
      await rebuild(newer(p), { signal })
      assert.equal(await tablesOf(p), whole)
    }))

  test(`${name}: a halted projector goes on past an event once it is parked; only its fractal is held back`, () =>
    withProjection(withDatabase, async (p) => {
      const [held, other] = [v4(), v4()]
      const projector = p.start()
      await p.append(requested(held), requested(other))
      const id = await writeNewer(p, cancelled(held))
      await p.append({ type: 'TaskDeleted', fractal: held, data: {} }, { ...completed(1), fractal: other })
      await until(async () => ((await p.checkpoint().catch(() => null))?.halted ?? null) !== null, { what: 'it halts' })
      assert.match((await p.checkpoint()).halted ?? '', `faafo replay park event ${id}`)
      const parked = await park(p, id)
      assert.equal([parked.fractal, parked.eventType, parked.tries], [held, 'TaskCancelled', 1])
      await p.caughtUp()
      await until(() => projector.said('projecting again'), { what: 'it says so' })
      assert.is((await p.checkpoint()).halted, null)
      const rows = await p.parts.db.select({ uuid: fractal.uuid, status: fractal.status }).from(fractal)
      assert.equal(
        new Map(rows.map(({ uuid, status }) => [uuid, status])),
        new Map([
          [held, 'requested'],
          [other, 'completed'],
        ]),
      )
      assert.equal(await heldOf(p), [
        [3, true],
        [4, false],
      ])

      await projector.stop()
      p.start({ decode: decodeAsNewer })
      await until(async () => (await heldOf(p)).length === 0, { what: 'a newer projector applies it when it starts' })
      assert.equal((await compareWithLog(newer(p))).differences, [])
    }))
}

test('an event that the database refuses can be parked, too; a try that fails is counted', () =>
  withTable(async (p) => {
    const uuid = v4()
    const { data } = requested()
    const broken: NewEvent = { ...requested(uuid), data: { ...data, params: { ...data.params, width: 2 ** 40 } } }
    await p.append(broken, cancelled(uuid), requested())
    p.start()
    await until(async () => ((await p.checkpoint().catch(() => null))?.halted ?? null) !== null, { what: 'it halts' })
    const id = parkedIdOf((await p.parts.log.messageAt(1)) ?? { seq: 0, id: '' })
    assert.match((await park(p, id)).error, /^cannot store event 1: /)
    await p.caughtUp()
    assert.is((await p.parts.db.select().from(fractal)).length, 1)
    const [retried] = await retryHeld(p.parts, [uuid], { asked: true })
    assert.equal([retried?.applied, retried?.stuck?.tries], [0, 2])
    assert.is((await p.parts.db.select().from(heldEvent).orderBy(asc(heldEvent.seq)))[0]?.tries, 2)
    await dropEvent(p.parts, parseCursor(id))
    assert.equal(await heldOf(p), [])
    const { status } = (await loadParked(parkedEvents(p.parts.broker), parsed(id))) ?? {}
    assert.is(status, 'dropped')
    assert.is((await compareTable(p.parts, { signal })).differing, 0)
  }))

const parsed = (id: string) => ({ seq: parseCursor(id).seq, id: parseCursor(id).idPrefix ?? '' })

test('a message that is nothing of ours can be parked; a projector goes on past it, and so does the next one', () =>
  withTable(async (p) => {
    const uuid = v4()
    await p.append(requested(uuid))
    await writeRaw(p.server.url, cancelled(uuid), {
      'ce-id': 'x.y z',
      'ce-type': 'a\0b',
      'ce-subject': '',
      'ce-time': '',
    })
    await p.append(requested())
    const parked = await park(p, '2')
    assert.equal([parked.id, parked.fractal], ['2', uuid])
    const projector = p.start()
    await p.caughtUp()
    await projector.stop()
    assert.equal(await heldOf(p), [[2, true]])
    const { eventId, seq } = await p.checkpoint()
    assert.ok(seq === 3 && eventId !== null)
    await dropEvent(p.parts, parseCursor('2'))
    assert.equal(await heldOf(p), [])
    assert.is((await compareTable(p.parts, { signal })).differing, 0)
  }))

test.run()
