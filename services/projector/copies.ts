import { and, eq, getTableName, sql } from 'drizzle-orm'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { isOf } from '../platform/checkpoint.ts'
import { type Db, querying, rootCause } from '../platform/database.ts'
import type { LogPosition } from '../platform/log-reader.ts'
import { liveModel, PROJECTION_VERSION, previousModel, type ReadModel } from '../platform/read-model.ts'
import { checkpoint } from '../platform/schema.ts'
import type { Copy } from './apply-batch.ts'

/*
 * Read models beside the one that is served: tables of the same names in a schema of its own, with a checkpoint of its
 * own. One takes over by changing places, names of indexes included, so that later migrations find what they
 * expect. Each step is one statement, which is one transaction, and holds for the copy that it is asked for only: who
 * begins another in its place gives it another epoch.
 */

/** Any number that only we take: the lock under which copies are begun, one at a time. */
const BEGIN_LOCK = 4_202_116_714

/** How long readers may keep a table from changing places, and later ones wait behind: less than a read may take. */
const LOCK_MS = 300
/** The same where it is a vacuum that keeps it: one that runs by itself gives way to who has waited for a second (deadlock_timeout). */
const VACUUM_LOCK_MS = 1_500

/** SQLSTATEs of our own, of a class that PostgreSQL leaves to others. */
const BEHIND = 'FA001'
const LOST = 'FA002'
const SHAPE = 'FA003'
const LOCK_NOT_AVAILABLE = '55P03'
/** Undefined table, schema or column, or rows of two tables that have different columns. */
const CHANGED = /^(42P01|3F000|42703|42804)$/

/** In the order in which a projector locks them. */
const TABLES = [liveModel.table, liveModel.versions, liveModel.held].map(getTableName)
const NAMES = TABLES.map((table) => `'${table}'`).join(', ')
const eachTable = (step: (table: string) => string) => TABLES.map(step)
const move = (from: string, to: string) => eachTable((table) => `alter table ${from}.${table} set schema ${to}`)
const LIVE = liveModel.schema

/**
 * Makes an empty copy at the start of the log, in place of any that was begun before. Without indexes but its key, and left alone by vacuums that
 * begin by themselves: it soon takes over or is dropped, and they would take its builder's processor.
 */
export async function beginCopy(db: Db, model: ReadModel): Promise<Copy> {
  const epoch = Math.floor(Math.random() * 2 ** 31)
  await run(db, 'begin a new read model', [
    `perform pg_advisory_xact_lock(${BEGIN_LOCK})`,
    `drop schema if exists ${model.schema} cascade`,
    `create schema ${model.schema}`,
    ...eachTable(
      (table) =>
        `create table ${model.schema}.${table} (like ${LIVE}.${table} including defaults) with (autovacuum_enabled = off)`,
    ),
    `delete from projection_checkpoint where projection = '${model.projection}'`,
    `insert into projection_checkpoint (projection, seq, time, version, epoch)
       values ('${model.projection}', 0, 0, ${PROJECTION_VERSION}, ${epoch})`,
    `for found in
       select c.relname, p.conname, pg_get_constraintdef(p.oid) as definition
         from pg_constraint p join pg_class c on c.oid = p.conrelid
         where p.contype = 'p' and c.relnamespace = '${LIVE}'::regnamespace and c.relname in (${NAMES})
     loop
       execute format('alter table ${model.schema}.%I add constraint %I %s',
         found.relname, found.conname, found.definition);
     end loop`,
  ])
  return { model, epoch }
}

/** Puts a copy back to the start of the log. */
export const emptyCopy = (db: Db, copy: Copy): Promise<void> =>
  run(db, 'empty the new read model', [
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
        where schemaname = ${LIVE} and tablename in (${sql.raw(NAMES)}) and not exists (
          select from pg_indexes n
            where n.schemaname = ${model.schema} and n.tablename = i.tablename and n.indexname = i.indexname)`),
  )
  const action = 'make the indexes of the new read model'
  const left = missing.values()
  const makeThem = async () => {
    for (const { table, definition } of left) {
      await run(db, action, [
        `lock table ${model.schema}.${table} in share mode`,
        isThere(copy),
        `perform set_config('max_parallel_maintenance_workers', '0', true)`,
        definition.replace(` ON ${LIVE}.`, ` ON ${model.schema}.`),
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
  run(db, 'look at the rows of the new read model', [
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
  return run(db, 'drop the new read model', [
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

/** Whether its tables have the columns and the indexes of those that are served. */
export async function hasShapeOfServed(db: Db, model: ReadModel): Promise<boolean> {
  const [found] = await querying('look at the tables', () =>
    db.execute<{ same: boolean }>(sql.raw(`select not (${differsInShape(model)}) as same`)),
  )
  return found?.same === true
}

/**
 * What came of a try to put another table in place. `behind`: the served one is further, and is not to go back.
 * `locked`: readers did not let go of it.
 */
export type Change = 'done' | 'behind' | 'locked'

/**
 * Puts a copy that stands at `position` in the place of the served one, which is kept for a rollback. With `replaces`,
 * the position of a served one that this log cannot follow, that it is further is no obstacle.
 * Throws `fence-lost` where the copy is another by now, the served one was changed meanwhile, or a migration was.
 */
export const takeOver = (db: Db, copy: Copy, position: LogPosition, replaces?: LogPosition): Promise<Change> =>
  changePlaces(db, copy, position, replaces, [
    `drop schema if exists ${previousModel.schema} cascade`,
    `create schema ${previousModel.schema}`,
    ...move(LIVE, previousModel.schema),
    ...eachTable((table) => `alter table ${copy.model.schema}.${table} reset (autovacuum_enabled)`),
    ...move(copy.model.schema, LIVE),
    `drop schema ${copy.model.schema}`,
    `delete from projection_checkpoint where projection = '${previousModel.projection}'`,
    rename(liveModel.projection, previousModel.projection),
    rename(copy.model.projection, liveModel.projection, 'live.epoch + 1'),
  ])

const SWAP = 'faafo_swap'

/** Has the one that was served before and the served one change places. Resolves and throws as `takeOver`. */
export const putBack = (db: Db, copy: Copy, position: LogPosition, replaces?: LogPosition): Promise<Change> =>
  changePlaces(db, copy, position, replaces, [
    `create schema ${SWAP}`,
    ...move(copy.model.schema, SWAP),
    ...move(LIVE, copy.model.schema),
    ...move(SWAP, LIVE),
    `drop schema ${SWAP}`,
    rename(liveModel.projection, SWAP),
    rename(copy.model.projection, liveModel.projection, 'live.epoch + 1'),
    rename(SWAP, copy.model.projection),
  ])

/** The tables are locked before the checkpoints, which is the order in which a projector takes them. */
async function changePlaces(
  db: Db,
  { model, epoch }: Copy,
  { seq, id }: LogPosition,
  replaces: LogPosition | undefined,
  statements: string[],
): Promise<Change> {
  const isFurther = replaces
    ? `live.seq <> ${replaces.seq} or live.event_id is distinct from ${literal(replaces.id)}`
    : `live.seq > ${seq}`
  try {
    await run(db, 'put another read model in place', [
      `perform set_config('lock_timeout', case when exists (
         select from pg_locks where granted and mode = 'ShareUpdateExclusiveLock' and relation in (${locked(model)})
       ) then '${VACUUM_LOCK_MS}' else '${LOCK_MS}' end, true)`,
      ...eachTable((table) => `lock table ${LIVE}.${table} in access exclusive mode`),
      ...eachTable((table) => `lock table ${model.schema}.${table} in access exclusive mode`),
      `select * into live from projection_checkpoint where projection = '${liveModel.projection}' for update`,
      `select * into other from projection_checkpoint where projection = '${model.projection}' for update`,
      `if other.epoch is distinct from ${epoch} or other.seq is distinct from ${seq}
           or other.event_id is distinct from ${literal(id)} then
         raise exception 'another was begun meanwhile' using errcode = '${LOST}';
       end if`,
      `if ${isFurther} then
         raise exception 'the one that is served was changed meanwhile' using errcode = '${replaces ? LOST : BEHIND}';
       end if`,
      `if ${differsInShape(model)} then
         raise exception 'its columns or indexes are not those of the tables that are served' using errcode = '${SHAPE}';
       end if`,
      ...statements,
    ])
    return 'done'
  } catch (error) {
    const code = sqlStateOf(error)
    if (code === BEHIND) return 'behind'
    if (code === LOCK_NOT_AVAILABLE) return 'locked'
    throw error
  }
}

const locked = (model: ReadModel) =>
  [LIVE, model.schema].flatMap((schema) => eachTable((table) => `'${schema}.${table}'::regclass`)).join(', ')

const differsInShape = (model: ReadModel) =>
  `(${columnsOf(liveModel)}) is distinct from (${columnsOf(model)})
     or (${indexesOf(liveModel)}) is distinct from (${indexesOf(model)})`
const columnsOf = ({ schema }: ReadModel) =>
  `select array_agg(row(relname, attname, atttypid, atttypmod, attnotnull)::text order by relname, attname)
     from pg_attribute join pg_class c on c.oid = attrelid
     where relnamespace = '${schema}'::regnamespace and relname in (${NAMES}) and attnum > 0 and not attisdropped`
const indexesOf = ({ schema }: ReadModel) =>
  `select array_agg(replace(indexdef, ' ON ${schema}.', ' ON ') order by indexname)
     from pg_indexes where schemaname = '${schema}' and tablename in (${NAMES})`

function run(db: Db, action: string, statements: string[]): Promise<void> {
  const body = statements.map((statement) => `  ${statement};`).join('\n')
  const block = `declare\n  found record;\n  live record;\n  other record;\nbegin\n${body}\nend`
  return onCopy(action, async () => void (await db.execute(sql.raw(`do ${literal(block)}`))))
}

/** Runs a query on a copy. Throws `fence-lost` where that is not there any more, or the table of either was changed. */
export async function onCopy<T>(action: string, query: () => Promise<T>): Promise<T> {
  try {
    return await querying(action, query)
  } catch (error) {
    const code = sqlStateOf(error)
    const isLost = code === LOST || code === SHAPE || (typeof code === 'string' && CHANGED.test(code))
    if (!isLost) throw error
    throw new FaafoError('fence-lost', `cannot ${action}: ${messageOf(rootCause(error))}`, { cause: rootCause(error) })
  }
}

const isThere = ({ model, epoch }: Copy) =>
  `if not exists (
     select from projection_checkpoint where projection = '${model.projection}' and epoch = ${epoch} for share
   ) then
     raise exception 'another was begun meanwhile' using errcode = '${LOST}';
   end if`

const rename = (from: string, to: string, epoch = 'epoch') =>
  `update projection_checkpoint set projection = '${to}', epoch = ${epoch} where projection = '${from}'`

const literal = (text: string | null) => (text === null ? 'null' : `'${text.replaceAll("'", "''")}'`)

const sqlStateOf = (error: unknown): unknown => {
  const cause = rootCause(error)
  return cause instanceof Error && 'code' in cause ? cause.code : undefined
}
