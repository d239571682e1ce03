import { count, sql } from 'drizzle-orm'
import postgres from 'postgres'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { liveModel, nextModel } from '../../services/platform/read-model.ts'
import { fractal } from '../../services/platform/schema.ts'
import { applyBatch, prepareBatch } from '../../services/projector/apply-batch.ts'
import { isWorkedOn } from '../../services/projector/copies.ts'
import { rebuild, rollBack } from '../../services/projector/rebuild.ts'
import { generateLog } from '../support/generated-log.ts'
import { until } from '../support/until.ts'
import { requested } from './with-projection.ts'
import { afterRebuild, rebuildNow, remains, signal, withTable } from './with-table.ts'

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
    assert.equal(await remains(p), afterRebuild)
    await rebuildNow(p) // the next one has the column
    const back = await db.execute(sql`select extra from fractal limit 1`)
    assert.is(back.length, 1)
  }))

for (const [whose, table] of [
  ['the served table', 'public.fractal'],
  ['the one before it', 'faafo_previous.fractal_version'],
] as const) {
  test(`a vacuum of ${whose} gives way where it is waited for long enough`, () =>
    withTable(async (p) => {
      await generateLog(p.server.url, 300)
      await rebuildNow(p)
      await rebuildNow(p)
      const warnings: string[] = []
      const logger = Object.assign(Object.create(p.parts.logger), {
        warn: (_: object, text: string) => warnings.push(text),
      })
      // As one that runs by itself does: it lets go once somebody has waited for a while.
      const vacuum = postgres(p.database.url, { max: 1, onnotice: () => {} })
      try {
        await vacuum`begin`
        await vacuum.unsafe(`lock table ${table} in share update exclusive mode`)
        const rebuilding = rebuild({ ...p.parts, logger }, { signal })
        await until(
          async () => {
            const [waiting] = await vacuum`select from pg_locks
              where not granted and relation = ${table}::regclass and waitstart < clock_timestamp() - interval '500 ms'`
            return waiting !== undefined
          },
          { what: 'it has been waited for' },
        )
        const exclusive = await vacuum`select from pg_locks where not granted and mode = 'AccessExclusiveLock'`
        assert.is(exclusive.length, 0, 'nothing is asked for that readers would wait behind')
        await vacuum`commit`
        await rebuilding
        assert.equal(warnings, [])
        assert.is((await p.checkpoint()).epoch, 3)
      } finally {
        await vacuum.end({ timeout: 0 })
      }
    }))
}

test('only the served tables are vacuumed by themselves, also after a rollback', () =>
  withTable(async (p) => {
    const { db } = p.parts
    const left = () =>
      db.execute(sql`select relnamespace::regnamespace::text as schema, count(*)::int as tables from pg_class
        where relkind = 'r' and reloptions @> '{autovacuum_enabled=off}' group by relnamespace`)
    await generateLog(p.server.url, 300)
    await rebuildNow(p)
    assert.equal([...(await left())], [{ schema: 'faafo_previous', tables: 3 }])
    await rollBack(p.parts, { signal })
    assert.equal([...(await left())], [{ schema: 'faafo_previous', tables: 3 }])
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
      let isSeen = false
      for (const until = Date.now() + 3_000; Date.now() < until; ) {
        const startedAt = Date.now()
        await db.select({ n: count() }).from(fractal)
        longest.ms = Math.max(longest.ms, Date.now() - startedAt)
        isSeen ||= await isWorkedOn(db, nextModel)
      }
      assert.is(done, false)
      assert.ok(isSeen, 'it is not taken for one that was left behind')
      await reader`commit`
      await rebuilding
      assert.is((await p.checkpoint()).epoch, 2)
      console.log(`longest read ${longest.ms} ms`)
    } finally {
      await reader.end()
    }
  }))

test.run()
