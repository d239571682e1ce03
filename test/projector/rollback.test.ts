import { eq, type SQL, sql } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseCursor } from '../../events/cursor.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { Db } from '../../services/platform/database.ts'
import { fractal } from '../../services/platform/schema.ts'
import { rebuild, rollBack } from '../../services/projector/rebuild.ts'
import { dropEvent } from '../../services/replay/park-events.ts'
import { generateLog } from '../support/generated-log.ts'
import { until } from '../support/until.ts'
import { cancelled, heldOf, park, writeNewer } from './held-events.ts'
import { requested } from './with-projection.ts'
import { afterRebuild, rebuildNow, remains, signal, withTable } from './with-table.ts'

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

/** The database, of which somebody hears before and after a statement that has tables change places. */
const listening = (db: Db, { before, after }: { before?: () => void; after?: () => void }): Db =>
  new Proxy(db, {
    get: (target, name) =>
      name !== 'execute'
        ? Reflect.get(target, name)
        : async (query: SQL) => {
            const isChange = new PgDialect().sqlToQuery(query).sql.includes('set schema')
            if (isChange) before?.()
            const answer = await target.execute(query)
            if (isChange) after?.()
            return answer
          },
  })

for (const [name, change] of [
  ['a rebuild', rebuild],
  ['a rollback', rollBack],
] as const) {
  test(`${name} that is interrupted while the tables change places, or that loses the answer, says that they did`, () =>
    withTable(async (p) => {
      const { db } = p.parts
      await generateLog(p.server.url, 300)
      await rebuildNow(p)
      await rebuildNow(p)
      const stop = new AbortController()
      const late = listening(db, { before: () => stop.abort() })
      const { epoch } = await p.checkpoint()
      assert.is((await change({ ...p.parts, db: late }, { signal: stop.signal })).seq, 300)
      assert.is((await p.checkpoint()).epoch, epoch + 1)

      const lost = listening(db, {
        after() {
          throw new FaafoError('database-unavailable', 'cannot hear the answer')
        },
      })
      assert.is((await change({ ...p.parts, db: lost }, { signal })).seq, 300)
      assert.is((await p.checkpoint()).epoch, epoch + 2)
      assert.equal(await remains(p), afterRebuild)
    }))

  test(`${name} that loses the database before the tables change places changes nothing, and can be done again`, () =>
    withTable(async (p) => {
      const { db } = p.parts
      await generateLog(p.server.url, 300)
      await rebuildNow(p)
      await rebuildNow(p)
      const { epoch } = await p.checkpoint()
      const away = listening(db, {
        before() {
          throw new FaafoError('database-unavailable', 'cannot reach it')
        },
      })
      const error = await change({ ...p.parts, db: away }, { signal }).catch((error) => error)
      assert.ok(isFaafoError(error, 'database-unavailable'), String(error))
      assert.is((await p.checkpoint()).epoch, epoch)
      assert.equal(await remains(p), afterRebuild)
      await change(p.parts, { signal })
      assert.is((await p.checkpoint()).epoch, epoch + 1)
    }))
}

test('a rollback to tables of another shape is refused before anything is done', () =>
  withTable(async (p) => {
    const { db } = p.parts
    await generateLog(p.server.url, 300)
    await rebuildNow(p)
    await rebuildNow(p)
    for (const change of [
      sql`create index extra on fractal (updated_at)`,
      sql`alter table fractal add column more int`,
    ]) {
      await db.execute(change)
      for (const dryRun of [true, false]) {
        const error = await rollBack(p.parts, { signal, dryRun }).catch((error) => error)
        assert.ok(isFaafoError(error, 'illegal-transition'), String(error))
        assert.match(error.message, /were changed since it was put away; use faafo replay rebuild/)
      }
      await db.execute(sql`drop index if exists extra`)
    }
  }))

test('a rollback holds back no event that was dropped since its table was put away', () =>
  withTable(async (p) => {
    const { db } = p.parts
    const uuid = v4()
    p.start()
    await p.append(requested(uuid))
    const id = await writeNewer(p, {
      type: 'TaskStarted',
      fractal: uuid,
      data: { generation: 1, entry: 1, worker: 'w', isolated: false },
    })
    await until(async () => ((await p.checkpoint().catch(() => null))?.halted ?? null) !== null, {
      what: 'the projector halts',
    })
    await park(p, id)
    await p.append(cancelled(uuid))
    await p.caughtUp()
    await rebuildNow(p)
    await dropEvent(p.parts, parseCursor(id))
    const status = async () => (await db.select().from(fractal).where(eq(fractal.uuid, uuid)))[0]?.status
    assert.is(await status(), 'cancelled')
    await rollBack(p.parts, { signal })
    assert.is(await status(), 'cancelled')
    assert.equal(await heldOf(p), [])
  }))

test.run()
