import { count, eq, sql } from 'drizzle-orm'
import postgres from 'postgres'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { liveModel, PROJECTION_VERSION } from '../../services/platform/read-model.ts'
import { checkpoint, fractal, fractalVersion } from '../../services/platform/schema.ts'
import { applyBatch, prepareBatch } from '../../services/projector/apply-batch.ts'
import { compareTable, rebuild, rollBack } from '../../services/projector/rebuild.ts'
import { withPostgres } from '../support/database.ts'
import { generateLog } from '../support/generated-log.ts'
import { until } from '../support/until.ts'
import { type Projection, requested, withProjection } from './with-projection.ts'

const withTable = (use: (projection: Projection) => Promise<void>) => withProjection(withPostgres, use)
const signal = new AbortController().signal

const rebuildNow = (p: Projection, options: Partial<Parameters<typeof rebuild>[1]> = {}) =>
  rebuild(p.parts, { signal, ...options })

/** Schemas and tables that a rebuild made. */
async function remains({ parts: { db } }: Projection): Promise<string[]> {
  const found = await db.execute<{ name: string }>(
    sql`select schemaname || '.' || tablename as name from pg_tables where schemaname like 'faafo%' order by 1`,
  )
  const checkpoints = await db.execute<{ projection: string }>(
    sql`select projection from projection_checkpoint order by 1`,
  )
  return [...found.map(({ name }) => name), ...checkpoints.map(({ projection }) => projection)]
}
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
    assert.equal(await remains(p), [
      'faafo_previous.fractal',
      'faafo_previous.fractal_version',
      'faafo_previous.held_event',
      'fractal',
      'fractal-previous',
    ])
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

test('a rollback puts the table before back, up to date; a second one undoes it', () =>
  withTable(async (p) => {
    const { db } = p.parts
    const none = await rollBack(p.parts, { signal }).catch((error) => error)
    assert.ok(isFaafoError(none, 'not-found'), String(none))
    p.start()
    await generateLog(p.server.url, 300)
    await p.caughtUp()
    await rebuildNow(p)
    await db.execute(sql`comment on table fractal is 'rebuilt'`)
    await generateLog(p.server.url, 300)
    for (const comment of [null, 'rebuilt', null]) {
      assert.is((await rollBack(p.parts, { signal })).seq, 600)
      const [found] = await db.execute(sql`select obj_description('fractal'::regclass) as comment`)
      assert.is(found?.comment, comment)
      assert.equal(await p.equalsLog(), { seq: 600, fractals: 200 })
    }
    await p.append(requested())
    await p.caughtUp()
    assert.equal(await p.equalsLog(), { seq: 601, fractals: 201 })
  }))

test('a batch that began before another table took over is not written to it, though it stands at the same event', () =>
  withTable(async (p) => {
    const { db } = p.parts
    const uuid = v4()
    const projector = p.start()
    await p.append(requested(uuid))
    await p.caughtUp()
    await projector.stop()
    const { epoch, seq, eventId, streamCreated, time } = await p.checkpoint()
    await rebuildNow(p)
    await p.append({ type: 'TaskCancelled', fractal: uuid, data: { generation: 1, reason: 'asked for' } })
    const event = (await p.parts.log.at(2)) as RecordedEvent
    const from = { seq, id: eventId, streamCreated, time }
    const copy = { model: liveModel, epoch }
    const prepared = await prepareBatch(db, copy, [event])
    const late = await applyBatch(db, copy, from, [event], prepared).catch((error) => error)
    assert.ok(isFaafoError(late, 'fence-lost'), String(late))
    assert.is((await p.checkpoint()).seq, 1)
  }))

test('a table that a migration changed meanwhile is not replaced by one that lacks the change', () =>
  withTable(async (p) => {
    const { db } = p.parts
    await generateLog(p.server.url, 300)
    await rebuildNow(p)
    let altered: Promise<unknown> | undefined
    const error = await rebuildNow(p, {
      onProgress: () => {
        altered ??= db.execute(sql`alter table fractal add column extra text`).then(() => {})
      },
    }).catch((error) => error)
    await altered
    assert.ok(isFaafoError(error, 'fence-lost'), String(error))
    assert.match(error.message, /the table was changed/)
    assert.equal(await remains(p), [
      'faafo_previous.fractal',
      'faafo_previous.fractal_version',
      'faafo_previous.held_event',
      'fractal',
      'fractal-previous',
    ])
    await rebuildNow(p) // the next one has the column
    const back = await db.execute(sql`select extra from fractal limit 1`)
    assert.is(back.length, 1)
  }))

test('a vacuum gives way where it is waited for long enough', () =>
  withTable(async (p) => {
    await generateLog(p.server.url, 300)
    await rebuildNow(p)
    const warnings: string[] = []
    const logger = Object.assign(Object.create(p.parts.logger), {
      warn: (_: object, text: string) => warnings.push(text),
    })
    // As one that runs by itself does: it lets go once somebody has waited for a while.
    const vacuum = postgres(p.database.url, { max: 1, onnotice: () => {} })
    try {
      await vacuum`begin`
      await vacuum`lock table fractal in share update exclusive mode`
      const rebuilding = rebuild({ ...p.parts, logger }, { signal })
      await until(
        async () => {
          const [waiting] = await vacuum`select from pg_locks
            where not granted and relation = 'fractal'::regclass and waitstart < clock_timestamp() - interval '500 ms'`
          return waiting !== undefined
        },
        { what: 'it has been waited for' },
      )
      await vacuum`commit`
      await rebuilding
      assert.equal(warnings, [])
      assert.is((await p.checkpoint()).epoch, 2)
    } finally {
      await vacuum.end({ timeout: 0 })
    }
  }))

test('a long reader keeps nobody waiting: the new table takes over when it is gone', () =>
  withTable(async (p) => {
    const { db } = p.parts
    await generateLog(p.server.url, 300)
    await rebuildNow(p)
    const reader = postgres(p.database.url, { max: 1, onnotice: () => {} })
    try {
      await reader`begin`
      await reader`select count(*) from fractal`
      let done = false
      const rebuilding = rebuildNow(p).finally(() => {
        done = true
      })
      const longest = { ms: 0 }
      for (const until = Date.now() + 3_000; Date.now() < until; ) {
        const startedAt = Date.now()
        await db.select({ n: count() }).from(fractal)
        longest.ms = Math.max(longest.ms, Date.now() - startedAt)
      }
      assert.is(done, false)
      await reader`commit`
      await rebuilding
      assert.is((await p.checkpoint()).epoch, 2)
      console.log(`longest read ${longest.ms} ms`)
    } finally {
      await reader.end()
    }
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
