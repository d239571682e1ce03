import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator'
import { FaafoError } from '../../events/errors.ts'
import { type Db, querying, rootCause } from './database.ts'
import { pause } from './shutdown.ts'

/** Any number that only we take: the lock under which migrations run. */
const MIGRATION_LOCK = 4_202_116_713
/** How long another migration, or whoever reads a table that is to be changed, is waited for at a time: all later readers wait behind. */
const LOCK_MS = 300
const AGAIN_MS = 700
/** For so long it is tried again. */
const MOST_LOCKED_MS = 60_000
const LOCK_NOT_AVAILABLE = '55P03'

/**
 * Brings the database to this version's schema; only looks where it is. Safe under concurrent starts: the transaction
 * lock lets one through at a time. It keeps the journal of drizzle's own migrate, which, run bare, fails in a quarter
 * of concurrent starts, and which cannot be put inside another transaction. Who reads a table for long is not waited for
 * with a queue behind us, but asked again and again.
 * Throws `database-unavailable`, also where others did not let go of a table for a minute.
 */
export async function migrateDatabase(db: Db): Promise<void> {
  const migrations = readMigrationFiles({ migrationsFolder: migrationsFolder() })
  const until = Date.now() + MOST_LOCKED_MS
  await querying('bring the database up to date', async () => {
    while (!(await isApplied(db, migrations))) {
      try {
        await db.execute(sql.raw(blockOf(migrations)))
      } catch (error) {
        const cause = rootCause(error)
        if (!(cause instanceof Error && 'code' in cause && cause.code === LOCK_NOT_AVAILABLE)) throw error
        if (Date.now() > until) throw inUse(cause)
        await pause(AGAIN_MS)
      }
    }
  })
}

const inUse = (cause: Error) =>
  new FaafoError('database-unavailable', 'cannot bring the database up to date: others hold its tables', {
    cause,
    details: { reason: 'others hold its tables' },
  })

/** Whether the database has this version's schema, or a newer one. Throws `database-unavailable`. */
export async function isMigrated(db: Db): Promise<boolean> {
  const migrations = readMigrationFiles({ migrationsFolder: migrationsFolder() })
  return querying('look at the schema', () => isApplied(db, migrations))
}

async function isApplied(db: Db, migrations: MigrationMeta[]): Promise<boolean> {
  const latest = await latestApplied(db)
  return migrations.every(({ folderMillis }) => folderMillis <= latest)
}

/** The time of the newest migration that was applied, 0 where there is none. */
async function latestApplied(db: Db): Promise<number> {
  const [journal] = await db.execute<{ exists: boolean }>(
    sql`select to_regclass('drizzle.__drizzle_migrations') is not null as exists`,
  )
  if (!journal?.exists) return 0
  const [applied] = await db.execute<{ latest: string | null }>(
    sql`select max(created_at) as latest from drizzle.__drizzle_migrations`,
  )
  return Number(applied?.latest ?? 0)
}

/**
 * All that is missing in one statement, which is a transaction of its own: the driver ends the process where the server
 * goes away inside `begin`. What was applied is looked up again under the lock.
 */
const blockOf = (migrations: MigrationMeta[]): string => `
do $faafo$
declare
  latest bigint;
begin
  perform set_config('lock_timeout', '${LOCK_MS}', true);
  perform pg_advisory_xact_lock(${MIGRATION_LOCK});
  create schema if not exists drizzle;
  create table if not exists drizzle.__drizzle_migrations
    (id serial primary key, hash text not null, created_at bigint);
  select coalesce(max(created_at), 0) into latest from drizzle.__drizzle_migrations;
${migrations.map(stepOf).join('\n')}
end
$faafo$`

const stepOf = ({ folderMillis, hash, sql: statements }: MigrationMeta): string => `
  if latest < ${folderMillis} then
${statements.map((statement) => `    execute $statement$${statement}$statement$;`).join('\n')}
    insert into drizzle.__drizzle_migrations (hash, created_at) values ('${hash}', ${folderMillis});
  end if;`

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
