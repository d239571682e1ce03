import { getTableColumns, type SQL, sql } from 'drizzle-orm'
import { FaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { type Db, querying } from '../platform/database.ts'
import { fractalOf } from '../platform/fractal-row.ts'
import type { LogPosition } from '../platform/log-reader.ts'
import { checkpoint, FRACTAL_PROJECTION, fractal } from '../platform/schema.ts'
import { type Changes, project } from './project.ts'

/**
 * Brings the table from the checkpoint at `previous` to the last of `events`, rows and checkpoint in one transaction,
 * and clears `halted`. Resolves to the new position.
 * Throws `fence-lost` where the checkpoint is not at `previous` (someone else moved it), `database-unavailable` where
 * it may or may not have happened: read the checkpoint again.
 */
export async function applyBatch(
  db: Db,
  previous: LogPosition,
  events: readonly [RecordedEvent, ...RecordedEvent[]],
): Promise<LogPosition> {
  const last = events.at(-1) ?? events[0]
  const next = { ...previous, seq: last.seq, id: last.id, time: last.recordedAt }
  const uuids = [...new Set(events.map((event) => event.fractal))]
  const rows = await querying('read the rows of a batch', () => db.select().from(fractal).where(isAmong(uuids)))
  const changes = project(new Map(rows.map((row) => [row.uuid, fractalOf(row)])), events)
  const [fenced] = await querying('project events', () =>
    db.execute<{ moved: number }>(batchOf(previous, next, changes)),
  )
  if (fenced?.moved === 1) return next
  throw new FaafoError('fence-lost', `cannot go on from event ${previous.seq}: the checkpoint is not there`)
}

/**
 * Fence, rows and checkpoint in one statement, which is one transaction. Rows that were read before it are still so
 * where the fence holds: only who moves the checkpoint changes rows. A statement of its own, and not a transaction of
 * several, because the driver ends the process where the server goes away inside `begin` (porsager/postgres#1066).
 */
const batchOf = (previous: LogPosition, next: LogPosition, { upserts, deletes }: Changes): SQL => sql`
    with fence as (
      update ${checkpoint}
      set seq = ${next.seq}, event_id = ${next.id}, stream_created = ${next.streamCreated}, time = ${next.time}, halted = null
      where projection = ${FRACTAL_PROJECTION} and seq = ${previous.seq} and event_id is not distinct from ${previous.id}
      returning 1
    ), upserted as (
      insert into ${fractal} (${names})
      select ${fields} from json_to_recordset(${JSON.stringify(upserts)}::json) as r (${typedFields}) where exists (select from fence)
      on conflict ("uuid") do update set (${names}) = (${excluded})
    ), deleted as (
      delete from ${fractal} where ${isAmong(deletes)} and exists (select from fence)
    )
    select count(*)::int as moved from fence`

// Whole batches travel as one parameter each, so that a statement's size does not hang on a batch's.

const isAmong = (uuids: string[]): SQL => sql`${fractal.uuid} = any(${sql.param(uuids)}::uuid[])`

const columns = Object.entries(getTableColumns(fractal))
const listOf = (part: (entry: (typeof columns)[number]) => string) => sql.raw(columns.map(part).join(', '))
const names = listOf(([, { name }]) => `"${name}"`)
const excluded = listOf(([, { name }]) => `excluded."${name}"`)
const fields = listOf(([field]) => `"${field}"`)
const typedFields = listOf(([field, column]) => `"${field}" ${column.getSQLType()}`)
