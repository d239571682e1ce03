import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { migrate } from 'drizzle-orm/postgres-js/migrator'
import { type Db, querying } from './database.ts'

/** Any number that only we take: the lock under which migrations run. */
const MIGRATION_LOCK = 4_202_116_713

/**
 * Brings the database to this version's schema; a no-op where it is. Safe under concurrent starts: the transaction
 * lock lets one through at a time (drizzle's own migrate, run bare, fails in a quarter of them).
 * Throws `database-unavailable`.
 */
export async function migrateDatabase(db: Db): Promise<void> {
  await querying('bring the database up to date', () =>
    db.transaction(async (tx) => {
      await tx.execute(sql`select pg_advisory_xact_lock(${MIGRATION_LOCK})`)
      await migrate(tx as unknown as Db, { migrationsFolder: migrationsFolder() })
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
