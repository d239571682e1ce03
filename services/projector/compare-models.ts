import { getTableColumns, type SQL, sql } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import { FaafoError } from '../../events/errors.ts'
import type { Db } from '../platform/database.ts'
import { liveModel, type ReadModel, VERSION_WITH_HISTORY } from '../platform/read-model.ts'
import { checkpoint } from '../platform/schema.ts'
import type { Copy } from './apply-batch.ts'
import { onCopy } from './model-statements.ts'

/** A row as PostgreSQL writes it in JSON, by the names of its columns. */
export type Row = Record<string, unknown>

export type Difference = {
  uuid: string
  /** Sequence of the event from which on a kept version holds; null: the row that is current. */
  version: number | null
  /** null: the table lacks it. */
  inTable: Row | null
  /** null: the log knows of no such fractal, or of no such version. */
  inLog: Row | null
  /** Columns in which they differ; none where one of them is missing. */
  columns: string[]
}

type Found = { uuid: string; version: number | null; live: Row | null; next: Row | null; differing: string }
type Answer = { live: string | null; next: string | null; epoch: number | null; rows: string; found: Found[] }

/**
 * Whether two rows differ, column by column: to compare whole rows PostgreSQL makes a value of each first. With nothing but
 * keys beside it the columns are all that goes through a join.
 */
const differ = sql.join(
  Object.values(getTableColumns(liveModel.table)).map(
    ({ name }) => sql`l.${sql.identifier(name)} is distinct from n.${sql.identifier(name)}`,
  ),
  sql` or `,
)

/** The row of what was found to differ; null where there is none. */
const rowIn = ({ table, versions }: ReadModel) => sql`case
          when version is null then (select to_jsonb(r) from ${table} r where r.uuid = found.uuid)
          else (select to_jsonb(r) from ${versions} r where (r.first_seq, r.last_seq) = (found.first_seq, found.version))
        end`

/** Of a fractal that was deleted since there is no row, but a version. */
const hasVersionAfter = ({ versions }: ReadModel, seq: SQL) => sql`exists (
              select from ${versions} v where v.first_seq = coalesce(n.first_seq, l.first_seq) and v.last_seq > ${seq}
            )`

/** Rows that are told at most; more are counted. */
export const MOST_DIFFERENCES = 10_000

/**
 * The rows in which the served read model and the one that was built from the log differ, as both stand at one moment,
 * and where they stand. Unless the served one is of another log, fractals that changed since in the one that is further are left
 * out. So are those of which either holds events back. Versions that a served one of an older projection has not kept are none that it lacks.
 */
export async function compareModels(
  db: Db,
  { model, epoch }: Copy,
  isOtherLog: boolean,
): Promise<{ live: number; next: number; rows: number; differing: number; differences: Difference[] }> {
  const ofCheckpoint = (column: string, { projection }: ReadModel) =>
    sql`(select ${sql.raw(column)} from ${checkpoint} where projection = ${projection})`
  const [answer] = await onCopy('compare the read models', () =>
    interpreted<Answer>(
      db,
      sql`
      with at as (
        select ${ofCheckpoint('seq', liveModel)} as live, ${ofCheckpoint('seq', model)} as next,
          ${ofCheckpoint('version', liveModel)} as live_version, ${ofCheckpoint('epoch', model)} as epoch
      ), held as (
        select fractal from ${liveModel.held} union select fractal from ${model.held}
      ), changed as (
        select uuid, null::bigint as first_seq, null::bigint as version
          from ${liveModel.table} l full join ${model.table} n using (uuid) cross join at
          where (${differ}) and not coalesce(case
            when ${isOtherLog} then false
            when at.next > at.live then n.last_seq > at.live or ${hasVersionAfter(model, sql`at.live`)}
            when at.live > at.next then l.last_seq > at.next or ${hasVersionAfter(liveModel, sql`at.next`)}
          end, false)
        union all
        select coalesce(l.uuid, n.uuid), first_seq, last_seq
          from ${liveModel.versions} l full join ${model.versions} n using (first_seq, last_seq) cross join at
          where (${differ}) and live_version >= ${VERSION_WITH_HISTORY}
            and (${isOtherLog} or last_seq <= least(at.live, at.next))
      ), differing as (
        select * from changed where uuid::text not in (select fractal from held)
      ), found as (
        select *, count(*) over () as differing from differing order by uuid, version nulls first limit ${MOST_DIFFERENCES}
      ), told as (
        select uuid, version, differing, ${rowIn(liveModel)} as live, ${rowIn(model)} as next from found
      )
      select at.live, at.next, at.epoch, (select count(*) from ${model.table}) as rows,
        coalesce((select json_agg(told order by uuid, version nulls first) from told), '[]'::json) as found
        from at`,
    ),
  )
  if (answer?.epoch !== epoch)
    throw new FaafoError('fence-lost', 'cannot compare the read models: another was begun meanwhile')
  const { found } = answer
  return {
    live: Number(answer.live ?? 0),
    next: Number(answer.next ?? 0),
    rows: Number(answer.rows),
    differing: Number(found[0]?.differing ?? 0),
    differences: found.map(({ uuid, version, live, next }) => ({
      uuid,
      version,
      inTable: live,
      inLog: next,
      columns: live && next ? Object.keys(next).filter((name) => live[name] !== next[name]) : [],
    })),
  }
}

const dialect = new PgDialect()

/** Runs a query that PostgreSQL is not to compile first (jit): loading its compiler takes longer than to compare hundreds of thousands of rows. */
async function interpreted<T>(db: Db, query: SQL): Promise<readonly T[]> {
  const { sql: text } = dialect.sqlToQuery(query.inlineParams())
  const answers = await db.execute(sql.raw(`set local jit = off; ${text}`)) // one message, which is one transaction
  return (answers as unknown as [unknown, T[]])[1]
}
