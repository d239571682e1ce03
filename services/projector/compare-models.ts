import { type SQL, sql } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import { FaafoError } from '../../events/errors.ts'
import type { Db } from '../platform/database.ts'
import { liveModel, type ReadModel, VERSION_WITH_HISTORY } from '../platform/read-model.ts'
import { checkpoint } from '../platform/schema.ts'
import type { Copy } from './apply-batch.ts'
import { onCopy } from './copies.ts'

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

/** Rows that are told at most; more are counted. */
export const MOST_DIFFERENCES = 10_000

/** Where both stand at the moment of asking, and how many fractals the one from the log has. */
type Standing = { live: string | null; next: string; epoch: number | null; rows: string }

type Found = { uuid: string; version: number | null; live: Row | null; next: Row | null; differing: string }

/**
 * The rows in which the served read model and the one that was built from the log differ, as both stand at one moment,
 * and where they stand. Unless the served one is of another log, fractals that changed since in the one that is further are left
 * out. So are those of which either holds events back. Versions that a served one of an older projection has not kept are none that it lacks.
 *
 * Where the sums of all rows' hashes (64 bits) are the same, so are the rows; else each is compared with its other, which takes several times as long.
 */
export async function compareModels(
  db: Db,
  { model, epoch }: Copy,
  isOtherLog: boolean,
): Promise<{ live: number; next: number; rows: number; differing: number; differences: Difference[] }> {
  async function ask<T>(answers: SQL): Promise<Standing & T> {
    const query = sql`
      with ${positions(model, isOtherLog)}
      select live, next, epoch, (select count(*) from ${model.table}) as rows, ${answers} from at`
    const [answer] = await onCopy('compare the read models', () => db.execute<Standing & T>(query))
    if (answer?.epoch === epoch) return answer
    throw new FaafoError('fence-lost', 'cannot compare the read models: another was begun meanwhile')
  }

  const summed = await ask<{ same: boolean }>(areSumsTheSame(model))
  const { live, next, rows, found } = summed.same
    ? { ...summed, found: [] }
    : await ask<{ found: Found[] }>(differingRows(model))
  return {
    live: Number(live ?? 0),
    next: Number(next),
    rows: Number(rows),
    differing: Number(found[0]?.differing ?? 0),
    differences: found.map(differenceOf),
  }
}

function differenceOf({ uuid, version, live, next }: Found): Difference {
  const columns = live && next ? Object.keys(next).filter((name) => live[name] !== next[name]) : []
  return { uuid, version, inTable: live, inLog: next, columns }
}

/** `at.common`: the last event that both have applied. `moved`: fractals, by `first_seq`, that changed since in the one that is further. */
function positions(model: ReadModel, isOtherLog: boolean): SQL {
  const ofCheckpoint = (column: string, { projection }: ReadModel) =>
    sql`(select ${sql.raw(column)} from ${checkpoint} where projection = ${projection})`
  const movedIn = (table: PgTable, position: string) => sql`
        select first_seq from ${table}
          where (select ${sql.raw(position)} > common from at) and last_seq > (select common from at)`
  return sql`
      both_at as (
        select ${ofCheckpoint('seq', liveModel)} as live, ${ofCheckpoint('seq', model)} as next,
          ${ofCheckpoint('version', liveModel)} as live_version, ${ofCheckpoint('epoch', model)} as epoch
      ), at as (
        select *, ${isOtherLog ? MAX_BIGINT : sql`least(live, next)`} as common from both_at
      ), moved as (
        ${movedIn(liveModel.table, 'live')} union ${movedIn(liveModel.versions, 'live')} union ${movedIn(model.versions, 'next')}
      )`
}

/** After every event. */
const MAX_BIGINT = sql`9223372036854775807`

const isKept = sql.raw(`live_version >= ${VERSION_WITH_HISTORY}`)

function areSumsTheSame(model: ReadModel): SQL {
  const ofRows = ({ table }: ReadModel) =>
    sql`(select sum(hash_record_extended(r, 0)) from ${table} r where first_seq not in (select first_seq from moved))`
  const ofVersions = ({ versions }: ReadModel) =>
    sql`(select sum(hash_record_extended(v, 0)) from ${versions} v where last_seq <= (select common from at))`
  return sql`
        ${ofRows(liveModel)} is not distinct from ${ofRows(model)}
          and (not ${isKept} or ${ofVersions(liveModel)} is not distinct from ${ofVersions(model)}) as same`
}

const differingRows = (model: ReadModel): SQL => sql`
        (
          with changed as (
            select uuid, null::bigint as version, to_jsonb(l) as live, to_jsonb(n) as next
              from ${liveModel.table} l full join ${model.table} n using (uuid)
              where l is distinct from n
                and coalesce(n.first_seq, l.first_seq) not in (select first_seq from moved)
            union all
            select coalesce(l.uuid, n.uuid), last_seq, to_jsonb(l), to_jsonb(n)
              from ${liveModel.versions} l full join ${model.versions} n using (first_seq, last_seq)
              where l is distinct from n and last_seq <= (select common from at) and (select ${isKept} from at)
          ), held as (
            select fractal from ${liveModel.held} union select fractal from ${model.held}
          ), differing as (
            select * from changed where uuid::text not in (select fractal from held)
          ), found as (
            select *, count(*) over () as differing from differing
              order by uuid, version nulls first limit ${MOST_DIFFERENCES}
          )
          select coalesce(json_agg(found), '[]'::json) from found
        ) as found`
