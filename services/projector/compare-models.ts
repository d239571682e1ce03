import { sql } from 'drizzle-orm'
import { FaafoError } from '../../events/errors.ts'
import type { Db } from '../platform/database.ts'
import { liveModel } from '../platform/read-model.ts'
import { checkpoint } from '../platform/schema.ts'
import type { Copy } from './apply-batch.ts'
import { onCopy } from './copies.ts'

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
export const MOST_DIFFERENCES = 10_000

/**
 * The rows in which the served read model and the one that was built from the log differ, as both stand at one moment,
 * and where they stand. Unless the served one is of another log, rows of the one that is further which changed since are left out; those that it dropped since
 * are not.
 */
export async function compareModels(
  db: Db,
  { model, epoch }: Copy,
  isOtherLog: boolean,
): Promise<{ live: number; next: number; rows: number; differing: number; differences: Difference[] }> {
  type Found = { uuid: string; live: Row | null; next: Row | null; differing: string }
  const seqOf = ({ projection }: { projection: string }) =>
    sql`(select seq from ${checkpoint} where projection = ${projection})`
  const [answer] = await onCopy('compare the read models', () =>
    db.execute<{ live: string; next: string; epoch: number | null; rows: string; found: Found[] }>(sql`
      with at as (
        select ${seqOf(liveModel)} as live, ${seqOf(model)} as next,
          (select epoch from ${checkpoint} where projection = ${model.projection}) as epoch
      ), found as (
        select uuid, to_jsonb(l) as live, to_jsonb(n) as next, count(*) over () as differing
          from ${liveModel.table} l full join ${model.table} n using (uuid) cross join at
          where l is distinct from n and not coalesce(
            case
              when ${isOtherLog} then false
              when at.next > at.live then n.last_seq > at.live
              when at.live > at.next then l.last_seq > at.next
            end,
            false
          )
          order by uuid
          limit ${MOST_DIFFERENCES}
      )
      select at.live, at.next, at.epoch, (select count(*) from ${model.table}) as rows,
        coalesce((select json_agg(found) from found), '[]'::json) as found
        from at`),
  )
  if (answer?.epoch !== epoch)
    throw new FaafoError('fence-lost', 'cannot compare the read models: another was begun meanwhile')
  const { found } = answer
  return {
    live: Number(answer.live ?? 0),
    next: Number(answer.next ?? 0),
    rows: Number(answer.rows),
    differing: Number(found[0]?.differing ?? 0),
    differences: found.map(({ uuid, live, next }) => ({
      uuid,
      inTable: live,
      inLog: next,
      columns: live && next ? Object.keys(next).filter((name) => live[name] !== next[name]) : [],
    })),
  }
}
