import { sql } from 'drizzle-orm'
import { type Db, querying } from '../platform/database.ts'
import { liveModel, nextModel } from '../platform/read-model.ts'
import { checkpoint } from '../platform/schema.ts'

/** A row as PostgreSQL writes it in JSON, by the names of its columns. */
export type Row = Record<string, unknown>

export type Difference = {
  uuid: string
  /** null: the table lacks it. */
  inTable: Row | null
  /** null: the log knows of no such fractal. */
  inLog: Row | null
  /** Columns in which they differ; none where one of them is missing. */
  columns: string[]
}

/** Rows that are told at most; more are counted. */
const MOST = 10_000

/**
 * The rows in which the served read model and the one that was built from the log differ, as both stand at one moment,
 * and where they stand. Rows of the one that is further which changed since are left out; those that it dropped since
 * are not.
 */
export async function compareModels(
  db: Db,
): Promise<{ live: number; next: number; rows: number; differing: number; differences: Difference[] }> {
  type Found = { uuid: string; live: Row | null; next: Row | null; differing: string }
  const seqOf = ({ projection }: { projection: string }) =>
    sql`(select seq from ${checkpoint} where projection = ${projection})`
  const [answer] = await querying('compare the read models', () =>
    db.execute<{ live: string; next: string; rows: string; found: Found[] }>(sql`
      with at as (
        select ${seqOf(liveModel)} as live, ${seqOf(nextModel)} as next
      ), found as (
        select uuid, to_jsonb(l) as live, to_jsonb(n) as next, count(*) over () as differing
          from ${liveModel.table} l full join ${nextModel.table} n using (uuid) cross join at
          where l is distinct from n and not coalesce(
            case
              when at.next > at.live then n.last_seq > at.live
              when at.live > at.next then l.last_seq > at.next
            end,
            false
          )
          order by uuid
          limit ${MOST}
      )
      select at.live, at.next, (select count(*) from ${nextModel.table}) as rows,
        coalesce((select json_agg(found) from found), '[]'::json) as found
        from at`),
  )
  const found = answer?.found ?? []
  return {
    live: Number(answer?.live ?? 0),
    next: Number(answer?.next ?? 0),
    rows: Number(answer?.rows ?? 0),
    differing: Number(found[0]?.differing ?? 0),
    differences: found.map(({ uuid, live, next }) => ({
      uuid,
      inTable: live,
      inLog: next,
      columns: live && next ? Object.keys(next).filter((name) => live[name] !== next[name]) : [],
    })),
  }
}
