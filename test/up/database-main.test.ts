import { readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Database, startPglite, withClient, withPglite } from '../support/database.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

/** Starts the embedded database on `dir` for `use`, and ends it. */
async function withDatabaseOn(dir: string, use: (database: Database) => Promise<void>): Promise<void> {
  const database = await startPglite(dir)
  try {
    await use(database)
  } finally {
    await database.stop()
  }
}

test('kill -9 in the middle of writes loses nothing that was committed', () =>
  withPglite(async (database) => {
    await withClient(database.url, (sql) => sql`create table written (id int primary key, text text)`)
    let committed = 0
    for (let round = 0; round < 2; round++) {
      const writing = withClient(database.url, async (sql) => {
        for (;;) {
          await sql`insert into written values (${committed + 1}, repeat('x', 2000))`
          committed++
        }
      }).catch(() => undefined)
      const goal = committed + 200
      await until(() => committed >= goal, { what: '200 more rows', everyMs: 1 })
      await database.kill()
      await writing
      await database.restart()
      assert.not.match(database.output(), 'set aside')
      await withClient(database.url, async (sql) => {
        const [row] = await sql`select count(*)::int as count, coalesce(max(id), 0) as last from written`
        // The last one may have been committed without the answer having come back.
        assert.ok(row?.count === committed || row?.count === committed + 1, `${row?.count} of ${committed}`)
        assert.is(row?.last, row?.count)
        committed = row?.count
      })
    }
  }))

test('a database that does not open is set aside, and an empty one takes its place', () =>
  withTempDir(async (dir) => {
    await withDatabaseOn(dir, ({ url }) =>
      withClient(url, (sql) => sql`create table gone (id int)`).then(() => undefined),
    )
    await rm(join(dir, 'database', 'global', 'pg_control'))
    await withDatabaseOn(dir, async ({ url, output }) => {
      assert.match(output(), 'was set aside')
      await withClient(url, async (sql) => {
        assert.is((await sql`select * from pg_tables where tablename = 'gone'`).length, 0)
      })
    })
    const [damaged] = (await readdir(dir)).filter((name) => name.startsWith('database.damaged-'))
    assert.ok(damaged !== undefined && (await stat(join(dir, damaged, 'PG_VERSION'))).isFile())
    await withDatabaseOn(dir, async ({ output }) => assert.not.match(output(), 'set aside'))
  }))

test('a database whose opening never came to an end is set aside', () =>
  withTempDir(async (dir) => {
    await withDatabaseOn(dir, async () => undefined)
    await writeFile(join(dir, 'database.opening'), '3')
    await withDatabaseOn(dir, async ({ output }) => assert.match(output(), 'did not come to an end 3 times'))
  }))

test('the process ends with its parent, cleanly', () =>
  withTempDir((dir) =>
    withDatabaseOn(dir, async (database) => {
      database.closeInput()
      await until(() => database.exitCode() === 0, { what: () => `the process ends:\n${database.output()}` })
    }),
  ))

test('a second process waits for the first, which a killed parent left behind, and ends it in the end', () =>
  withTempDir((dir) =>
    withDatabaseOn(dir, async (first) => {
      await withClient(first.url, (sql) => sql`create table kept (id int)`)
      await withDatabaseOn(dir, async (second) => {
        await until(() => first.ended(), { what: 'the first has ended' })
        await withClient(second.url, (sql) => sql`select * from kept`)
      })
    }),
  ))

test.run()
