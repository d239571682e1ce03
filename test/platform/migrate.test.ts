import { sql } from 'drizzle-orm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { type Db, isDatabaseAway, openDatabase, querying, rootCause } from '../../services/platform/database.ts'
import { migrateDatabase } from '../../services/platform/migrate.ts'
import { freePort } from '../../services/platform/ports.ts'
import { fractal } from '../../services/platform/schema.ts'
import { type Database, withClient, withOwnPostgres, withPglite, withPostgres } from '../support/database.ts'
import { until } from '../support/until.ts'

async function withDb(url: string, use: (db: Db) => Promise<void>): Promise<void> {
  const { db, close } = openDatabase(url, { max: 1, name: 'test' })
  try {
    await use(db)
  } finally {
    await close()
  }
}

const databases: [name: string, withDatabase: (use: (database: Database) => Promise<void>) => Promise<void>][] = [
  ['PostgreSQL', withPostgres],
  ['the embedded database', withPglite],
]

for (const [name, withDatabase] of databases) {
  test(`eight services that migrate at once leave ${name} at this version's schema`, () =>
    withDatabase(async ({ url }) => {
      const services = Array.from({ length: 8 }, () => openDatabase(url, { max: 1, name: 'test' }))
      await Promise.all(services.map(({ db }) => migrateDatabase(db)))
      await Promise.all(services.map(({ close }) => close()))
      await withDb(url, async (db) => {
        assert.equal(await db.select().from(fractal), [])
        const applied = await db.execute<{ hash: string }>(sql`select hash from drizzle.__drizzle_migrations`)
        assert.is(new Set(applied.map(({ hash }) => hash)).size, applied.length)
        await migrateDatabase(db)
        assert.is((await db.execute(sql`select 1 from drizzle.__drizzle_migrations`)).length, applied.length)
      })
    }))
}

test('a migration that fails leaves nothing behind', () =>
  withPostgres(({ url }) =>
    withDb(url, async (db) => {
      await db.execute(sql`create table fractal (mine text)`)
      const error = await migrateDatabase(db).catch(rootCause)
      assert.match(error instanceof Error ? error.message : '', /"fractal" already exists/)
      const left = await db.execute(
        sql`select 1 from pg_tables where tablename in ('projection_checkpoint', '__drizzle_migrations')`,
      )
      assert.is(left.length, 0)
    }),
  ))

/** Holds the lock under which migrations run for as long as `use` takes. */
const whileAnotherMigrates = (url: string, use: () => Promise<void>): Promise<void> =>
  withClient(url, async (client) => {
    await client`select pg_advisory_lock(4202116713)`
    await use()
  })

const isWaitingForLock = async (url: string): Promise<boolean> =>
  withClient(url, async (client) => (await client`select from pg_locks where not granted`).length > 0)

test('a database at this version’s schema is looked at and left alone', () =>
  withPostgres(({ url }) =>
    withDb(url, async (db) => {
      await migrateDatabase(db)
      await whileAnotherMigrates(url, () => migrateDatabase(db))
    }),
  ))

test('a long reader keeps a migration waiting, and nobody else', () =>
  withPostgres(({ url }) =>
    withDb(url, async (db) => {
      await migrateDatabase(db)
      await db.execute(sql`drop table webhook_attempt, held_event`)
      for (const table of ['fractal', 'fractal_version']) {
        await db.execute(sql.raw(`alter table ${table} drop column error_version`))
      }
      await db.execute(sql`delete from drizzle.__drizzle_migrations where id > 3`)
      let migrating: Promise<void> | undefined
      await withClient(url, async (client) => {
        await client.begin(async (reading) => {
          await reading`select from fractal`
          migrating = withDb(url, migrateDatabase)
          for (let i = 0; i < 3; i++) {
            await until(() => isWaitingForLock(url), { what: 'the migration waits' })
            await db.execute(sql`select from fractal`)
          }
        })
      })
      await migrating
      assert.equal(await db.select().from(fractal), [])
    }),
  ))

test('a database that is killed during a migration is away, and migrated once it is back', () =>
  withOwnPostgres((database) =>
    withDb(database.url, async (db) => {
      let migrating: Promise<unknown> | undefined
      await whileAnotherMigrates(database.url, async () => {
        migrating = migrateDatabase(db).catch((thrown) => thrown)
        await until(() => isWaitingForLock(database.url), { what: 'the migration waits' })
        await database.kill()
      })
      const error = await migrating
      assert.ok(isFaafoError(error, 'database-unavailable'))
      await database.restart()
      await until(
        () =>
          migrateDatabase(db).then(
            () => true,
            () => false,
          ),
        { what: 'the database is migrated' },
      )
      assert.equal(await db.select().from(fractal), [])
    }),
  ))

test('a database that is not there is one that is away, and no message shows its password', async () => {
  const port = await freePort()
  await withDb(`postgres://ada:secret@127.0.0.1:${port}/faafo`, async (db) => {
    const error = await querying('read fractals', () => db.select().from(fractal)).then(
      () => null,
      (thrown) => thrown,
    )
    assert.is(error?.code, 'database-unavailable')
    assert.is(error?.message, 'cannot read fractals: the database is not reachable')
    assert.ok(isDatabaseAway(error))
    assert.not.match(JSON.stringify(error.details), /secret|select/)
    assert.match(String(error.details.reason), /ECONNREFUSED/)
  })
})

test('a statement that is wrong is no outage', () =>
  withPostgres(({ url }) =>
    withDb(url, async (db) => {
      const error = await querying('read', () => db.execute(sql`select no_such_column`)).catch((thrown) => thrown)
      assert.not.ok(isDatabaseAway(error))
    }),
  ))

test.run()
