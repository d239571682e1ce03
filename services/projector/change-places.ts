import { sql } from 'drizzle-orm'
import { type Db, querying } from '../platform/database.ts'
import type { LogPosition } from '../platform/log-reader.ts'
import { liveModel, previousModel, type ReadModel } from '../platform/read-model.ts'
import type { Copy } from './apply-batch.ts'
import {
  eachTable,
  LIVE_SCHEMA,
  LOST,
  literal,
  runStatements,
  SHAPE,
  sqlStateOf,
  TABLE_NAMES,
} from './model-statements.ts'

/*
 * Read models change places: tables move from one schema to another, names of indexes included, so that later migrations
 * find what they expect.
 */

/** How long readers may keep a table from changing places, and later ones wait behind: less than a read may take. */
const LOCK_MS = 300
/** How long a vacuum may, for which no reader waits: one that runs by itself gives way to who has waited for a second (deadlock_timeout). */
const VACUUM_LOCK_MS = 1_500

/** SQLSTATE of our own, as LOST and SHAPE are. */
const BEHIND = 'FA001'
/** SQLSTATEs of a lock that was not to be had: in time, or not without a deadlock. Nothing was changed. */
const isLocked = (error: unknown) => ['55P03', '40P01'].includes(String(sqlStateOf(error)))

/** By itself, as PostgreSQL does from time to time. Only the served tables are: others take over or are dropped soon, and would be waited for. */
const vacuumed = (schema: string, on: boolean) =>
  eachTable(
    (table) => `alter table ${schema}.${table} ${on ? 'reset (autovacuum_enabled)' : 'set (autovacuum_enabled = off)'}`,
  )

const move = (from: string, to: string) => eachTable((table) => `alter table ${from}.${table} set schema ${to}`)

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
    ...move(LIVE_SCHEMA, previousModel.schema),
    ...vacuumed(copy.model.schema, true),
    ...move(copy.model.schema, LIVE_SCHEMA),
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
    ...vacuumed(copy.model.schema, true),
    ...move(copy.model.schema, SWAP),
    ...move(LIVE_SCHEMA, copy.model.schema),
    ...move(SWAP, LIVE_SCHEMA),
    `drop schema ${SWAP}`,
    rename(liveModel.projection, SWAP),
    rename(copy.model.projection, liveModel.projection, 'live.epoch + 1'),
    rename(SWAP, copy.model.projection),
  ])

/**
 * Has vacuums of the tables give way that PostgreSQL began by itself. The lock that is taken for it is one that they hold, too,
 * but no reader and no projector: they neither wait for it nor keep it waiting.
 */
const withoutVacuum = (schemas: string[]) => [
  `set local lock_timeout = ${VACUUM_LOCK_MS}`,
  ...locked(schemas, 'share update exclusive'),
]

const locked = (schemas: string[], mode: string) =>
  schemas.flatMap((schema) =>
    eachTable(
      (table) => `if to_regclass('${schema}.${table}') is not null then
         lock table ${schema}.${table} in ${mode} mode;
       end if`,
    ),
  )

/** Has a vacuum of the served tables end, should one go on, so that it is not waited for when they change places. */
export async function endVacuum(db: Db): Promise<void> {
  try {
    await runStatements(db, 'end a vacuum of the served tables', withoutVacuum([LIVE_SCHEMA]))
  } catch (error) {
    if (!isLocked(error)) throw error
  }
}

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
  const others = [...new Set([previousModel.schema, model.schema])]
  try {
    await runStatements(db, 'put another read model in place', [
      ...withoutVacuum(others),
      ...vacuumed(LIVE_SCHEMA, false), // takes the same lock, also that of the parts of them that hold long texts
      `set local lock_timeout = ${LOCK_MS}`,
      ...locked([...others, LIVE_SCHEMA], 'access exclusive'), // whose readers wait from then on
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
    if (isLocked(error)) return 'locked'
    throw error
  }
}

const differsInShape = (model: ReadModel) =>
  `(${columnsOf(liveModel)}) is distinct from (${columnsOf(model)})
     or (${indexesOf(liveModel)}) is distinct from (${indexesOf(model)})`
const columnsOf = ({ schema }: ReadModel) =>
  `select array_agg(row(relname, attname, atttypid, atttypmod, attnotnull)::text order by relname, attname)
     from pg_attribute join pg_class c on c.oid = attrelid
     where relnamespace = '${schema}'::regnamespace and relname in (${TABLE_NAMES}) and attnum > 0 and not attisdropped`
const indexesOf = ({ schema }: ReadModel) =>
  `select array_agg(replace(indexdef, ' ON ${schema}.', ' ON ') order by indexname)
     from pg_indexes where schemaname = '${schema}' and tablename in (${TABLE_NAMES})`

const rename = (from: string, to: string, epoch = 'epoch') =>
  `update projection_checkpoint set projection = '${to}', epoch = ${epoch} where projection = '${from}'`
