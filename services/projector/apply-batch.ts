import { and, eq, getTableColumns, type SQL, sql } from 'drizzle-orm'
import { FaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { type Db, querying } from '../platform/database.ts'
import { fractalOf } from '../platform/fractal-row.ts'
import type { LogPosition } from '../platform/log-reader.ts'
import { checkpoint, FRACTAL_PROJECTION, type FractalRow, fractal } from '../platform/schema.ts'
import { project } from './project.ts'

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
  await querying('project events', () =>
    db.transaction(async (tx) => {
      const [fence, rows] = await Promise.all([
        tx
          .update(checkpoint)
          .set({ seq: next.seq, eventId: next.id, streamCreated: next.streamCreated, time: next.time, halted: null })
          .where(and(eq(checkpoint.projection, FRACTAL_PROJECTION), eq(checkpoint.seq, previous.seq)))
          .returning({ seq: checkpoint.seq }),
        tx.select().from(fractal).where(isAmong(uuids)),
      ])
      if (fence.length === 0) {
        throw new FaafoError('fence-lost', `cannot go on from event ${previous.seq}: the checkpoint is not there`)
      }
      const { upserts, deletes } = project(new Map(rows.map((row) => [row.uuid, fractalOf(row)])), events)
      if (upserts.length > 0) await tx.execute(upsertOf(upserts))
      if (deletes.length > 0) await tx.delete(fractal).where(isAmong(deletes))
    }),
  )
  return next
}

// Whole batches travel as one parameter each, so that a statement's size does not hang on a batch's.

const isAmong = (uuids: string[]): SQL => sql`${fractal.uuid} = any(${sql.param(uuids)}::uuid[])`

const columns = Object.entries(getTableColumns(fractal)).map(
  ([key, { name }]) => [key as keyof FractalRow, name] as const,
)
const names = sql.raw(columns.map(([, name]) => `"${name}"`).join(', '))
const excluded = sql.raw(columns.map(([, name]) => `excluded."${name}"`).join(', '))

function upsertOf(rows: readonly FractalRow[]): SQL {
  const records = JSON.stringify(rows.map((row) => Object.fromEntries(columns.map(([key, name]) => [name, row[key]]))))
  return sql`
    insert into ${fractal} (${names})
    select ${names} from json_populate_recordset(null::${fractal}, ${records}::json)
    on conflict ("uuid") do update set (${names}) = (${excluded})`
}
