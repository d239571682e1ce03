import { getTableColumns, type SQL, sql } from 'drizzle-orm'
import { FaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { type Db, querying } from '../platform/database.ts'
import { fractalOf } from '../platform/fractal-row.ts'
import { type LogPosition, positionAfter } from '../platform/log-reader.ts'
import type { ReadModel } from '../platform/read-model.ts'
import { checkpoint, fractal } from '../platform/schema.ts'
import { type Changes, type Observer, project } from './project.ts'

/** A read model, and the epoch of its checkpoint: another one in its place has another. */
export type Copy = { model: ReadModel; epoch: number }

/**
 * Brings a read model from the checkpoint at `previous` to the last of `events`, rows and checkpoint in one transaction,
 * and clears `halted`. Resolves to the new position.
 * Throws `fence-lost` where the checkpoint is not at `previous` (someone else moved it), `database-unavailable` where
 * it may or may not have happened: read the checkpoint again.
 */
export async function applyBatch(
  db: Db,
  { model, epoch }: Copy,
  previous: LogPosition,
  events: readonly [RecordedEvent, ...RecordedEvent[]],
  observe?: Observer,
): Promise<LogPosition> {
  const last = events.at(-1) ?? events[0]
  const next = positionAfter(previous, last)
  const uuids = uuidsOfRows(events)
  const rows =
    uuids.length === 0
      ? []
      : await querying('read the rows of a batch', () => db.select().from(model.table).where(isAmong(model, uuids)))
  const changes = project(new Map(rows.map((row) => [row.uuid, fractalOf(row)])), events, observe)
  const [fenced] = await querying('project events', () =>
    db.execute<{ moved: number }>(batchOf({ model, epoch }, previous, next, changes)),
  )
  if (fenced?.moved === 1) return next
  throw new FaafoError('fence-lost', `cannot go on from event ${previous.seq}: the checkpoint is not there`)
}

/** Of whom there may be a row: those whose first request is among the events had none before it. */
function uuidsOfRows(events: readonly RecordedEvent[]): string[] {
  const known = new Map<string, boolean>()
  for (const { fractal, type, data } of events) {
    if (!known.has(fractal)) known.set(fractal, type !== 'TaskRequested' || data.generation > 1)
  }
  return [...known].flatMap(([uuid, hasRow]) => (hasRow ? [uuid] : []))
}

/**
 * Fence, rows and checkpoint in one statement, which is one transaction. Rows that were read before it are still so
 * where the fence holds: only who moves the checkpoint, or puts another table in place, changes rows. A statement of its own, and not a transaction of
 * several, because the driver ends the process where the server goes away inside `begin` (porsager/postgres#1066).
 */
const batchOf = (
  { model, epoch }: Copy,
  previous: LogPosition,
  next: LogPosition,
  { versions, deletes }: Changes,
): SQL => sql`
    with fence as (
      update ${checkpoint}
      set seq = ${next.seq}, event_id = ${next.id}, stream_created = ${next.streamCreated}, time = ${next.time}, halted = null
      where projection = ${model.projection} and seq = ${previous.seq} and event_id is not distinct from ${previous.id} and epoch = ${epoch}
      returning 1
    ), given as materialized (
      select * from json_to_recordset(${JSON.stringify(versions)}::json) as r (${typedFields}, "isCurrent" boolean)
        where exists (select from fence)
    ), upserted as (
      insert into ${model.table} (${names}) select ${fields} from given where "isCurrent"
      on conflict ("uuid") do update set (${names}) = (${excluded})
    ), kept as (
      insert into ${model.versions} (${names}) select ${fields} from given
      on conflict ("first_seq", "last_seq") do update set (${names}) = (${excluded})
    ), deleted as (
      delete from ${model.table} where ${isAmong(model, deletes)} and exists (select from fence)
    )
    select count(*)::int as moved from fence`

// Whole batches travel as one parameter each, so that a statement's size does not hang on a batch's.

const isAmong = ({ table }: ReadModel, uuids: string[]): SQL => sql`${table.uuid} = any(${sql.param(uuids)}::uuid[])`

const columns = Object.entries(getTableColumns(fractal))
const listOf = (part: (entry: (typeof columns)[number]) => string) => sql.raw(columns.map(part).join(', '))
const names = listOf(([, { name }]) => `"${name}"`)
const excluded = listOf(([, { name }]) => `excluded."${name}"`)
const fields = listOf(([field]) => `"${field}"`)
const typedFields = listOf(([field, column]) => `"${field}" ${column.getSQLType()}`)
