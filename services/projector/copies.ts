import { and, eq, sql } from 'drizzle-orm'
import { isOf } from '../platform/checkpoint.ts'
import { type Db, querying } from '../platform/database.ts'
import { PROJECTION_VERSION, previousModel, type ReadModel } from '../platform/read-model.ts'
import { checkpoint } from '../platform/schema.ts'
import type { Copy } from './apply-batch.ts'
import { eachTable, LIVE_SCHEMA, LOST, runStatements, TABLE_NAMES } from './model-statements.ts'

/*
 * Read models beside the one that is served: tables of the same names in a schema of its own, with a checkpoint of its
 * own. Each step is one statement, which is one transaction, and holds for the copy that it is asked for only: who
 * begins another in its place gives it another epoch.
 */

/** Any number that only we take: the lock under which copies are begun, one at a time. */
const BEGIN_LOCK = 4_202_116_714

/**
 * Makes an empty copy at the start of the log, in place of any that was begun before. Without indexes but its key, and left alone by vacuums that
 * begin by themselves: it soon takes over or is dropped, and they would take its builder's processor.
 */
export async function beginCopy(db: Db, model: ReadModel): Promise<Copy> {
  const epoch = Math.floor(Math.random() * 2 ** 31)
  await runStatements(db, 'begin a new read model', [
    `perform pg_advisory_xact_lock(${BEGIN_LOCK})`,
    `drop schema if exists ${model.schema} cascade`,
    `create schema ${model.schema}`,
    ...eachTable(
      (table) =>
        `create table ${model.schema}.${table} (like ${LIVE_SCHEMA}.${table} including defaults) with (autovacuum_enabled = off)`,
    ),
    `delete from projection_checkpoint where projection = '${model.projection}'`,
    `insert into projection_checkpoint (projection, seq, time, version, epoch)
       values ('${model.projection}', 0, 0, ${PROJECTION_VERSION}, ${epoch})`,
    `for found in
       select c.relname, p.conname, pg_get_constraintdef(p.oid) as definition
         from pg_constraint p join pg_class c on c.oid = p.conrelid
         where p.contype = 'p' and c.relnamespace = '${LIVE_SCHEMA}'::regnamespace and c.relname in (${TABLE_NAMES})
     loop
       execute format('alter table ${model.schema}.%I add constraint %I %s',
         found.relname, found.conname, found.definition);
     end loop`,
  ])
  return { model, epoch }
}

/** Puts a copy back to the start of the log. */
export const emptyCopy = (db: Db, copy: Copy): Promise<void> =>
  runStatements(db, 'empty the new read model', [
    ...eachTable((table) => `lock table ${copy.model.schema}.${table} in access exclusive mode`),
    isThere(copy),
    `truncate ${eachTable((table) => `${copy.model.schema}.${table}`).join(', ')}`,
    `update projection_checkpoint set seq = 0, event_id = null, stream_created = null, time = 0
       where projection = '${copy.model.projection}'`,
  ])

/**
 * Makes the indexes that the served one has, so many at a time, each by one process: quicker once the rows are there, and
 * helpers take more from the others than they give.
 */
export async function indexCopy(db: Db, copy: Copy, atOnce: number): Promise<void> {
  const { model } = copy
  const missing = await querying('look at the indexes', () =>
    db.execute<{ table: string; definition: string }>(sql`
      select tablename as table, indexdef as definition from pg_indexes i
        where schemaname = ${LIVE_SCHEMA} and tablename in (${sql.raw(TABLE_NAMES)}) and not exists (
          select from pg_indexes n
            where n.schemaname = ${model.schema} and n.tablename = i.tablename and n.indexname = i.indexname)`),
  )
  const action = 'make the indexes of the new read model'
  const left = missing.values()
  const makeThem = async () => {
    for (const { table, definition } of left) {
      await runStatements(db, action, [
        `lock table ${model.schema}.${table} in share mode`,
        isThere(copy),
        `perform set_config('max_parallel_maintenance_workers', '0', true)`,
        definition.replace(` ON ${LIVE_SCHEMA}.`, ` ON ${model.schema}.`),
      ])
    }
  }
  await Promise.all(Array.from({ length: atOnce }, makeThem))
}

/**
 * Has the database look at the rows, of which nobody told it, before it compares them. A tenth of those that it usually looks at are enough
 * to choose the right indexes, until it looks again by itself, which it does once enough of them have changed.
 */
export const analyzeCopy = (db: Db, copy: Copy): Promise<void> =>
  runStatements(db, 'look at the rows of the new read model', [
    ...eachTable((table) => `lock table ${copy.model.schema}.${table} in share update exclusive mode`),
    isThere(copy),
    `perform set_config('default_statistics_target', '10', true)`,
    ...eachTable((table) => `analyze ${copy.model.schema}.${table}`),
  ])

/** Whether a statement that works on its tables is under way, or waits for the served ones: a comparison, an index, a change of places. */
export async function isWorkedOn(db: Db, { schema }: ReadModel): Promise<boolean> {
  const [found] = await querying('look who works on the new read model', () =>
    db.execute<{ worked: boolean }>(sql`
      select exists (
        select from pg_locks l join pg_class c on c.oid = l.relation
          where l.granted and l.pid <> pg_backend_pid() and c.relnamespace = to_regnamespace(${schema})
      ) or exists (
        select from pg_stat_activity
          where state = 'active' and pid <> pg_backend_pid() and position(${schema} in query) > 0
      ) as worked`),
  )
  return found?.worked === true
}

/** Has statements end that work on its tables, where it is still there: they may take minutes. */
export const stopWork = (db: Db, { model, epoch }: Copy): Promise<void> =>
  querying('stop the work on the new read model', async () => {
    await db.execute(sql`
      select pg_cancel_backend(pid) from (
        select distinct pid from pg_locks l join pg_class c on c.oid = l.relation
          where pid <> pg_backend_pid() and c.relnamespace = to_regnamespace(${model.schema})
      ) busy where exists (select from ${checkpoint} where ${isOf(model)} and ${eq(checkpoint.epoch, epoch)})`)
  })

/** Drops it, where it is still there. */
export const dropCopy = (db: Db, { model, epoch }: Copy): Promise<void> => {
  const isOurs = `select from projection_checkpoint where projection = '${model.projection}' and epoch = ${epoch}`
  return runStatements(db, 'drop the new read model', [
    `if exists (${isOurs}) then
       ${eachTable((table) => `lock table ${model.schema}.${table} in access exclusive mode;`).join('\n       ')}
       if exists (${isOurs} for update) then
         drop schema ${model.schema} cascade;
         delete from projection_checkpoint where projection = '${model.projection}';
       end if;
     end if`,
  ])
}

/**
 * Has whoever asked for a change of places with this copy, and got no answer, change nothing any more; no: it is not
 * there, because that has happened, or another was begun in its place. Throws `database-unavailable`.
 */
export async function fenceOff(db: Db, { model, epoch }: Copy): Promise<boolean> {
  const fenced = await querying('fence off a read model', () =>
    db
      .update(checkpoint)
      .set({ epoch: epoch + 1 })
      .where(and(isOf(model), eq(checkpoint.epoch, epoch)))
      .returning({ epoch: checkpoint.epoch }),
  )
  if (fenced.length > 0 && model !== previousModel) await dropCopy(db, { model, epoch: epoch + 1 })
  return fenced.length > 0
}

const isThere = ({ model, epoch }: Copy) =>
  `if not exists (
     select from projection_checkpoint where projection = '${model.projection}' and epoch = ${epoch} for share
   ) then
     raise exception 'another was begun meanwhile' using errcode = '${LOST}';
   end if`
