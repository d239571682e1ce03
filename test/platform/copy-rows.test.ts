import { randomUUID } from 'node:crypto'
import { type SQL, sql } from 'drizzle-orm'
import { bigint, doublePrecision, integer, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openBulkLoader } from '../../services/platform/bulk-loader.ts'
import { NO_ROWS, rowEncoder } from '../../services/platform/copy-rows.ts'
import { openDatabase } from '../../services/platform/database.ts'
import { createLogger } from '../../services/platform/logger.ts'
import { migrateDatabase } from '../../services/platform/migrate.ts'
import { withPostgres } from '../support/database.ts'

const logger = createLogger('test', { logLevel: 'silent' })

const things = pgTable('things', {
  id: uuid('id').primaryKey(),
  words: text('words'),
  count: integer('count'),
  place: bigint('place', { mode: 'number' }),
  share: doublePrecision('share'),
  moment: timestamp('moment', { withTimezone: true, precision: 3, mode: 'date' }),
})
type Thing = typeof things.$inferSelect
const encoder = () =>
  rowEncoder<Thing, typeof things>(things, {
    id: ({ id }) => id,
    words: ({ words }) => words,
    count: ({ count }) => count,
    place: ({ place }) => place,
    share: ({ share }) => share,
    moment: ({ moment }) => moment?.getTime() ?? null,
  })

const thing: fc.Arbitrary<Thing> = fc.record(
  {
    id: fc.uuid(),
    words: fc.option(fc.string({ unit: 'grapheme', maxLength: 300 }).filter((words) => !words.includes('\0'))),
    count: fc.option(fc.integer()),
    place: fc.option(fc.maxSafeInteger()),
    share: fc.option(fc.double({ noNaN: true })),
    moment: fc.option(fc.date({ min: new Date('0100-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })),
  },
  { noNullPrototype: true },
)

test('whatever rows hold is in the table once they were copied', () =>
  withPostgres(async ({ url }) => {
    const { db, close } = openDatabase(url, { max: 2, name: 'test' })
    await migrateDatabase(db)
    const loader = await openBulkLoader(db, logger)
    if (!loader) throw new Error('PostgreSQL takes COPY')
    try {
      await db.execute(sql`create table things
        (id uuid primary key, words text, count integer, place bigint, share double precision, moment timestamptz(3))`)
      await db.execute(sql`create table fences as select 0 as passed`)
      const encoded = encoder()
      const several = fc.uniqueArray(thing, { minLength: 1, maxLength: 40, selector: ({ id }) => id })
      await fc.assert(
        fc.asyncProperty(several, async (rows) => {
          await db.delete(things)
          for (const row of rows) encoded.add(row)
          assert.ok(
            await loader.load({
              tables: [things],
              fence: sql`update fences set passed = passed + 1`,
              into: things,
              rows: encoded.take(),
              afterwards: [],
            }),
          )
          const byId = (a: Thing, b: Thing) => (a.id < b.id ? -1 : 1)
          assert.equal((await db.select().from(things)).sort(byId), [...rows].sort(byId))
        }),
        { numRuns: 50 },
      )
    } finally {
      await loader.close()
      await close()
    }
  }))

test('nothing is done where the fence changes nothing, or what is done afterwards fails; the text of a value is no statement', () =>
  withPostgres(async ({ url }) => {
    const { db, close } = openDatabase(url, { max: 2, name: 'test' })
    await migrateDatabase(db)
    await db.execute(sql`create table things
      (id uuid primary key, words text, count integer, place bigint, share double precision, moment timestamptz(3))`)
    const stand = "0'; end; $do$ $faafo$ \\' --"
    await db.execute(sql`create table fences as select ${stand}::text as stand`)
    const row: Thing = { id: randomUUID(), words: '', count: 0, place: 0, share: 0, moment: new Date(0) }
    const load = async (from: string, to: string, afterwards: SQL[] = []): Promise<boolean | string> => {
      const loader = await openBulkLoader(db, logger)
      if (!loader) throw new Error('PostgreSQL takes COPY')
      const fence = sql`update fences set stand = ${to} where stand = ${from}`
      const encoded = encoder()
      encoded.add(row)
      try {
        return await loader.load({
          tables: [things],
          fence,
          into: things,
          rows: encoded.take(),
          afterwards,
        })
      } catch (error) {
        return (error as Error & { code: string }).code
      } finally {
        await loader.close()
      }
    }
    const isAt = async () => [(await db.select().from(things)).length, (await db.execute(sql`select * from fences`))[0]]
    try {
      assert.is(await load('elsewhere', '1'), false)
      assert.equal(await isAt(), [0, { stand }])
      assert.is(await load(stand, '1', [sql`select 1 / 0`]), '22012')
      assert.equal(await isAt(), [0, { stand }])
      assert.is(await load(stand, `${stand}!`, [sql`update fences set stand = stand || '?'`]), true)
      assert.equal(await isAt(), [1, { stand: `${stand}!?` }])
    } finally {
      await close()
    }
  }))

test('what a column cannot hold is refused, as the database would have', () => {
  const encoded = encoder()
  const whole: Thing = { id: randomUUID(), words: '', count: 0, place: 0, share: 0, moment: new Date(0) }
  encoded.add(whole)
  const once = encoded.take()
  assert.ok(once.length > NO_ROWS.length)
  for (const [broken, message] of [
    [{ id: 'abc' }, /'abc' is no uuid/],
    [{ id: whole.id.replaceAll('-', ' ') }, /is no uuid/],
    [{ id: `g${whole.id.slice(1)}` }, /is no uuid/],
    [{ id: `\u0410${whole.id.slice(1)}` }, /is no uuid/],
    [{ count: 2 ** 31 }, /2147483648 is no integer of 32 bits/],
    [{ count: 0.5 }, /0.5 is no integer/],
    [{ place: 2 ** 53 }, /9007199254740992 is no safe integer/],
    [{ moment: new Date(Number.NaN) }, /NaN is no time/],
  ] as const) {
    let error: unknown
    try {
      encoded.add({ ...whole, ...broken })
    } catch (thrown) {
      error = thrown
    }
    assert.ok(error instanceof RangeError && 'code' in error, JSON.stringify(broken))
    assert.match(error.message, message)
    assert.match(String(error.code), /^22/)
  }
  assert.equal(encoded.take(), NO_ROWS)
  encoded.add(whole)
  assert.equal(encoded.take(), once)
})

test.run()
