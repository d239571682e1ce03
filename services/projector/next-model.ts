import { sql } from 'drizzle-orm'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { type Db, querying, rootCause } from '../platform/database.ts'
import type { LogPosition } from '../platform/log-reader.ts'
import {
  liveModel,
  NEXT_SCHEMA,
  nextModel,
  PREVIOUS_SCHEMA,
  PROJECTION_VERSION,
  previousModel,
  type ReadModel,
} from '../platform/read-model.ts'

/*
 * The read model that is being built beside the one that is served: a table of the same name in a schema of its own,
 * with a checkpoint of its own. It takes over by changing places, names of indexes included, so that later migrations
 * find what they expect. Each step is one statement, which is one transaction.
 */

const LIVE_SCHEMA = 'public'
const SWAP_SCHEMA = 'faafo_swap'
/** How long readers may keep it from taking over; those that come later wait behind it for as long. */
const LOCK_MS = 2_000

/** The SQLSTATE by which `takeOver` says that it is behind; any of a class that PostgreSQL leaves to others. */
const BEHIND = 'FA001'
const LOST = 'FA002'
const LOCK_NOT_AVAILABLE = '55P03'

/** Makes an empty one at the start of the log in place of any that was begun before. Without indexes but its key. */
export const beginNext = (db: Db): Promise<void> =>
  run(db, 'begin a new read model', [
    `drop schema if exists ${NEXT_SCHEMA} cascade`,
    `create schema ${NEXT_SCHEMA}`,
    `create table ${NEXT_SCHEMA}.fractal (like ${LIVE_SCHEMA}.fractal including defaults)`,
    `delete from projection_checkpoint where projection = '${nextModel.projection}'`,
    `insert into projection_checkpoint (projection, seq, time, version)
       values ('${nextModel.projection}', 0, 0, ${PROJECTION_VERSION})`,
    forEach(
      `select conname, pg_get_constraintdef(oid) as definition from pg_constraint
         where conrelid = '${LIVE_SCHEMA}.fractal'::regclass and contype = 'p'`,
      `execute format('alter table ${NEXT_SCHEMA}.fractal add constraint %I %s', found.conname, found.definition)`,
    ),
  ])

/** Makes the indexes that the served one has: quicker once the rows are there. */
export const indexNext = (db: Db): Promise<void> =>
  run(db, 'make the indexes of the new read model', [
    forEach(
      `select indexdef from pg_indexes i where schemaname = '${LIVE_SCHEMA}' and tablename = 'fractal'
         and not exists (
           select from pg_indexes n
             where n.schemaname = '${NEXT_SCHEMA}' and n.tablename = 'fractal' and n.indexname = i.indexname)`,
      `execute replace(found.indexdef, ' ON ${LIVE_SCHEMA}.fractal ', ' ON ${NEXT_SCHEMA}.fractal ')`,
    ),
    `analyze ${NEXT_SCHEMA}.fractal`,
  ])

/** Drops it. */
export const dropNext = (db: Db): Promise<void> =>
  run(db, 'drop the new read model', [
    `drop schema if exists ${NEXT_SCHEMA} cascade`,
    `delete from projection_checkpoint where projection = '${nextModel.projection}'`,
  ])

/**
 * Puts the one that stands at `position` in the place of the served one, which is kept for `rollBack`. Resolves to
 * false where the served one is further (it is not to go back), or readers would not let go of it: try again. With
 * `replaces`, the position of a served one that this log cannot follow, that is no obstacle.
 * Throws `fence-lost` where somebody else has begun another new one, or changed the served one meanwhile.
 */
export const takeOver = (db: Db, position: LogPosition, replaces?: LogPosition): Promise<boolean> =>
  changePlaces(
    db,
    nextModel,
    position,
    [
      `drop schema if exists ${PREVIOUS_SCHEMA} cascade`,
      `create schema ${PREVIOUS_SCHEMA}`,
      `alter table ${LIVE_SCHEMA}.fractal set schema ${PREVIOUS_SCHEMA}`,
      `alter table ${NEXT_SCHEMA}.fractal set schema ${LIVE_SCHEMA}`,
      `drop schema ${NEXT_SCHEMA}`,
      `delete from projection_checkpoint where projection = '${previousModel.projection}'`,
      rename(liveModel.projection, previousModel.projection),
      rename(nextModel.projection, liveModel.projection, 'live.epoch + 1'),
    ],
    replaces,
  )

/**
 * Has the one that was served before, which stands at `position`, and the served one change places. Resolves and throws
 * as `takeOver`.
 */
export const putBack = (db: Db, position: LogPosition): Promise<boolean> =>
  changePlaces(db, previousModel, position, [
    `create schema ${SWAP_SCHEMA}`,
    `alter table ${PREVIOUS_SCHEMA}.fractal set schema ${SWAP_SCHEMA}`,
    `alter table ${LIVE_SCHEMA}.fractal set schema ${PREVIOUS_SCHEMA}`,
    `alter table ${SWAP_SCHEMA}.fractal set schema ${LIVE_SCHEMA}`,
    `drop schema ${SWAP_SCHEMA}`,
    rename(liveModel.projection, SWAP_SCHEMA),
    rename(previousModel.projection, liveModel.projection, 'live.epoch + 1'),
    rename(SWAP_SCHEMA, previousModel.projection),
  ])

/**
 * Runs the statements where `model` stands at `position` and the served one, whose checkpoint is `live`, is not further.
 * The table is locked before the checkpoint, which is the order in which a projector takes them.
 */
async function changePlaces(
  db: Db,
  { projection }: ReadModel,
  { seq, id }: LogPosition,
  statements: string[],
  replaces?: LogPosition,
): Promise<boolean> {
  const isBehind = replaces
    ? `live.seq <> ${replaces.seq} or live.event_id is distinct from ${literal(replaces.id)}`
    : `live.seq > ${seq}`
  try {
    await run(db, 'put another read model in place', [
      `perform set_config('lock_timeout', '${LOCK_MS}', true)`,
      `lock table ${LIVE_SCHEMA}.fractal in access exclusive mode`,
      `select * into live from projection_checkpoint where projection = '${liveModel.projection}' for update`,
      `select * into other from projection_checkpoint where projection = '${projection}' for update`,
      `if other.seq is distinct from ${seq} or other.event_id is distinct from ${literal(id)} then
         raise exception 'it was changed meanwhile' using errcode = '${LOST}';
       end if`,
      `if ${isBehind} then
         raise exception 'the one that is served goes on' using errcode = '${replaces ? LOST : BEHIND}';
       end if`,
      ...statements,
    ])
    return true
  } catch (error) {
    const code = sqlStateOf(error)
    if (code === BEHIND || code === LOCK_NOT_AVAILABLE) return false
    if (code === LOST) {
      throw new FaafoError('fence-lost', `cannot put another read model in place: ${messageOf(rootCause(error))}`)
    }
    throw error
  }
}

async function run(db: Db, action: string, statements: string[]): Promise<void> {
  const body = statements.map((statement) => `  ${statement};`).join('\n')
  const block = `do $faafo$\ndeclare\n  found record;\n  live record;\n  other record;\nbegin\n${body}\nend\n$faafo$`
  await querying(action, () => db.execute(sql.raw(block)))
}

const forEach = (query: string, statement: string) => `for found in ${query} loop ${statement}; end loop`

const rename = (from: string, to: string, epoch = 'epoch') =>
  `update projection_checkpoint set projection = '${to}', epoch = ${epoch} where projection = '${from}'`

const literal = (text: string | null) => (text === null ? 'null' : `'${text.replaceAll("'", "''")}'`)

const sqlStateOf = (error: unknown): unknown => {
  const cause = rootCause(error)
  return cause instanceof Error && 'code' in cause ? cause.code : undefined
}
