import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { type Db, querying } from './database.ts'

/** Any number that only we take: the lock under which migrations run. */
const MIGRATION_LOCK = 4_202_116_713

/**
 * Brings the database to this version's schema; a no-op where it is. Safe under concurrent starts: the transaction
 * lock lets one through at a time. It keeps the journal of drizzle's own migrate, which, run bare, fails in a quarter
 * of concurrent starts, and which cannot be put inside another transaction.
 * Throws `database-unavailable`.
 */
export async function migrateDatabase(db: Db): Promise<void> {
  const migrations = readMigrationFiles({ migrationsFolder: migrationsFolder() })
  await querying('bring the database up to date', () =>
    db.transaction(async (tx) => {
      await tx.execute(sql`select pg_advisory_xact_lock(${MIGRATION_LOCK})`)
      await tx.execute(sql`create schema if not exists drizzle`)
      await tx.execute(sql`
        create table if not exists drizzle.__drizzle_migrations
        (id serial primary key, hash text not null, created_at bigint)`)
      const [applied] = await tx.execute<{ latest: string | null }>(
        sql`select max(created_at) as latest from drizzle.__drizzle_migrations`,
      )
      const latest = Number(applied?.latest ?? 0)
      for (const { folderMillis, hash, sql: statements } of migrations) {
        if (folderMillis <= latest) continue
        for (const statement of statements) await tx.execute(sql.raw(statement))
        await tx.execute(
          sql`insert into drizzle.__drizzle_migrations (hash, created_at) values (${hash}, ${folderMillis})`,
        )
      }
    }),
  )
}

/** The package's `migrations` folder, from the sources as well as from `dist`. */
function migrationsFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'migrations', 'meta', '_journal.json'))) {
    const parent = dirname(folder)
    if (parent === folder) throw new Error('the migrations folder is missing from this installation')
    folder = parent
  }
  return join(folder, 'migrations')
}
