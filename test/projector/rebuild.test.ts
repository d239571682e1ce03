import { EventEmitter, once } from 'node:events'
import { count, eq, sql } from 'drizzle-orm'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { nextModel, PROJECTION_VERSION } from '../../services/platform/read-model.ts'
import { checkpoint, fractal, fractalVersion } from '../../services/platform/schema.ts'
import { beginCopy, dropCopy, indexCopy, isWorkedOn } from '../../services/projector/copies.ts'
import { compareTable } from '../../services/projector/rebuild.ts'
import { withClient } from '../support/database.ts'
import { generateLog } from '../support/generated-log.ts'
import { until } from '../support/until.ts'
import { type Projection, requested } from './with-projection.ts'
import { afterRebuild, rebuildNow, remains, signal, withTable } from './with-table.ts'

const indexesOf = ({ parts: { db } }: Projection) =>
  db.execute(sql`select indexname, indexdef from pg_indexes where schemaname = 'public' order by indexname`)

test('a table that lies is told from the log row by row, and a rebuild mends it', () =>
  withTable(async (p) => {
    const [changed, lost, invented] = [v4(), v4(), v4()]
    const projector = p.start()
    await p.append(requested(changed), requested(lost))
    await p.caughtUp()
    await projector.stop()
    assert.equal(await compareTable(p.parts, { signal }), { seq: 2, fractals: 2, differing: 0, differences: [] })

    const { db } = p.parts
    const [row] = await db.select().from(fractal).where(eq(fractal.uuid, lost))
    if (!row) throw new Error('it was projected')
    await db.update(fractal).set({ width: 1, errorCode: 'x' }).where(eq(fractal.uuid, changed))
    await db.delete(fractal).where(eq(fractal.uuid, lost))
    await db.insert(fractal).values({ ...row, uuid: invented })
    const dry = await compareTable(p.parts, { signal })
    assert.is(dry.differing, 3)
    assert.equal(
      new Map(dry.differences.map((d) => [d.uuid, [d.inTable !== null, d.inLog !== null, ...d.columns.sort()]])),
      new Map([
        [changed, [true, true, 'error_code', 'width']],
        [lost, [false, true]],
        [invented, [true, false]],
      ]),
    )
    assert.equal(await remains(p), ['fractal'])

    const heard: number[] = []
    const rebuilt = await rebuildNow(p, { onProgress: ({ seq }) => heard.push(seq) })
    assert.equal([rebuilt.seq, rebuilt.fractals, rebuilt.differing], [2, 2, 3])
    assert.is(heard.at(-1), 2)
    assert.equal(await p.equalsLog(), { seq: 2, fractals: 2 })
  }))

test('a rebuild makes table and checkpoint where there are none, of an empty log as well', () =>
  withTable(async (p) => {
    assert.is((await rebuildNow(p)).seq, 0)
    assert.equal(await p.equalsLog(), { seq: 0, fractals: 0 })
  }))

test('while requests come and readers read it, another table takes over: nobody fails, nothing is lost or goes back', () =>
  withTable(async (p) => {
    p.start()
    await generateLog(p.server.url, 9_000)
    await p.caughtUp()
    const { db } = p.parts
    let done = false
    const appending = (async () => {
      let appended = 0
      for (; !done; appended++) await p.append(requested())
      return appended
    })()
    const reading = Array.from({ length: 4 }, async () => {
      let [rows, seq, reads] = [0, 0, 0]
      for (; !done; reads++) {
        const [counted] = await db.select({ n: count() }).from(fractal)
        const at = (await p.checkpoint()).seq
        assert.ok((counted?.n ?? 0) >= Math.max(rows, 3_000), `${counted?.n} rows after ${rows}`)
        assert.ok(at >= seq, `at event ${at} after ${seq}`)
        rows = counted?.n ?? 0
        seq = at
      }
      return reads
    })
    const indexes = await indexesOf(p)
    for (let round = 1; round <= 3; round++) {
      const { differing, seq } = await rebuildNow(p)
      assert.is(differing, 0)
      assert.ok(seq >= 9_000)
      assert.is((await p.checkpoint()).epoch, round)
    }
    done = true
    const appended = await appending
    for (const reads of await Promise.all(reading)) assert.ok(reads > 0)
    await p.caughtUp()
    assert.equal(await p.equalsLog(), { seq: 9_000 + appended, fractals: 3_000 + appended })
    assert.equal([...(await indexesOf(p))], [...indexes])
    assert.equal(await remains(p), afterRebuild)
  }))

test('a rebuild that is interrupted has changed nothing and leaves nothing', () =>
  withTable(async (p) => {
    const projector = p.start()
    await generateLog(p.server.url, 12_000)
    await p.caughtUp()
    await projector.stop()
    const stop = new AbortController()
    try {
      await rebuildNow(p, { signal: stop.signal, onProgress: () => stop.abort() })
      assert.unreachable()
    } catch (error) {
      assert.ok(isFaafoError(error, 'aborted'), String(error))
    }
    assert.equal(await remains(p), ['fractal'])
    assert.equal(await p.equalsLog(), { seq: 12_000, fractals: 4_000 })
  }))

test('a comparison that takes long does not keep who interrupts it waiting', () =>
  withTable(async (p) => {
    await generateLog(p.server.url, 12_000)
    await rebuildNow(p)
    await withClient(p.database.url, async (client) => {
      await client.begin(async (tx) => {
        const stop = new AbortController()
        let locked: Promise<unknown> | undefined
        const onProgress = () => {
          locked ??= tx`lock table fractal in access exclusive mode`.then(() => {}) // for which the comparison waits
        }
        const rebuilding = rebuildNow(p, { signal: stop.signal, onProgress }).catch((error) => error)
        const waits = async () => (await tx`select from pg_locks where not granted`).length > 0
        await until(waits, { what: 'it compares' })
        stop.abort()
        const error = await rebuilding
        assert.ok(isFaafoError(error, 'aborted'), String(error))
        await locked
      })
    })
    assert.equal(await remains(p), afterRebuild)
  }))

test('of two rebuilds at a time the later one wins, and the first says so', () =>
  withTable(async (p) => {
    await generateLog(p.server.url, 12_000)
    let second: Promise<unknown> | undefined
    const first = await rebuildNow(p, {
      onProgress: () => {
        second ??= rebuildNow(p)
      },
    }).catch((error) => error)
    await second
    assert.ok(isFaafoError(first, 'fence-lost'), String(first))
    assert.match(first.message, /another one was begun meanwhile/)
    assert.equal(await p.equalsLog(), { seq: 12_000, fractals: 4_000 })
  }))

test('who makes an index waits for the table without holding the checkpoint, which the next rebuild takes after it', () =>
  withTable(async (p) => {
    const { db } = p.parts
    await rebuildNow(p)
    const copy = await beginCopy(db, nextModel)
    await withClient(p.database.url, async (client) => {
      let indexing: Promise<void> | undefined
      await client.begin(async (tx) => {
        await tx`lock table faafo_next.fractal in row exclusive mode`
        indexing = indexCopy(db, copy, 1)
        const waits = async () => (await tx`select from pg_locks where not granted`).length > 0
        await until(waits, { what: 'the index is waited for' })
        await tx`select from projection_checkpoint where projection = 'fractal-next' for update nowait`
      })
      await indexing
    })
    await dropCopy(db, copy)
    assert.equal(await remains(p), afterRebuild)
  }))

test('a table of a newer version of the projection is left alone', () =>
  withTable(async (p) => {
    const { db } = p.parts
    const before = p.start()
    await generateLog(p.server.url, 300)
    await p.caughtUp()
    await before.stop()
    await db.update(checkpoint).set({ version: PROJECTION_VERSION + 1 })
    await p.append(requested())
    const projector = p.start()
    await until(
      () => projector.said('standing by', new RegExp(`version ${PROJECTION_VERSION + 1} of the projection`)),
      { what: 'it says why' },
    )
    assert.is((await p.checkpoint()).seq, 300)
    for (const act of [rebuildNow, (q: Projection) => compareTable(q.parts, { signal })]) {
      const error = await act(p).catch((error) => error)
      assert.ok(isFaafoError(error, 'illegal-transition'), String(error))
    }
  }))

test('a projector stands by once a newer program has taken its table over', () =>
  withTable(async (p) => {
    const { db } = p.parts
    const older = p.start()
    await generateLog(p.server.url, 300)
    await p.caughtUp()
    await db.update(checkpoint).set({ version: PROJECTION_VERSION + 1, epoch: sql`epoch + 1` })
    await p.append(requested())
    await until(() => older.said('standing by', new RegExp(`version ${PROJECTION_VERSION + 1} of the projection`)), {
      what: 'it says why',
    })
    assert.is((await p.checkpoint()).seq, 300)
  }))

test('a new read model that stands still is worked on while a statement holds its tables', () =>
  withTable(async (p) => {
    const { db } = p.parts
    await rebuildNow(p)
    await beginCopy(db, nextModel)
    assert.not(await isWorkedOn(db, nextModel))
    const [held, done] = [new EventEmitter(), new EventEmitter()]
    const isHeld = once(held, 'held')
    const working = db.transaction(async (tx) => {
      await tx.execute(sql`lock table faafo_next.fractal in share mode`)
      held.emit('held')
      await once(done, 'done')
    })
    await isHeld
    assert.ok(await isWorkedOn(db, nextModel))
    done.emit('done')
    await working
    assert.not(await isWorkedOn(db, nextModel))
  }))

test('rows of an older version of the projection are served until a projector has made them anew', () =>
  withTable(async (p) => {
    const { db } = p.parts
    const before = p.start()
    await generateLog(p.server.url, 900)
    await p.caughtUp()
    await before.stop()
    await db.update(checkpoint).set({ version: 0 })
    await db.update(fractal).set({ url: 'old' })
    await db.delete(fractalVersion) // as a version that kept none leaves it
    const [one, other] = [p.start(), p.start()]
    const renewed = () => [one, other].some((projector) => projector.said('the new read model took over'))
    await until(renewed, { what: 'it is made anew' })
    await p.append(requested())
    await p.caughtUp()
    assert.equal(await p.equalsLog(), { seq: 901, fractals: 301 })
    assert.is((await p.checkpoint()).version, PROJECTION_VERSION)
    assert.ok((await p.checkpoint()).epoch > 0)
  }))

test.run()
