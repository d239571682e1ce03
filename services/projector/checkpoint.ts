import { and, eq } from 'drizzle-orm'
import { isOf, readCheckpoint } from '../platform/checkpoint.ts'
import { type Db, querying } from '../platform/database.ts'
import type { LogPosition } from '../platform/log-reader.ts'
import { liveModel, PROJECTION_VERSION } from '../platform/read-model.ts'
import { type CheckpointRow, checkpoint } from '../platform/schema.ts'

/** The checkpoint of the served one, made at the start of the log where there is none. Throws `database-unavailable`. */
export async function openCheckpoint(db: Db): Promise<CheckpointRow> {
  const first = { projection: liveModel.projection, seq: 0, time: 0, version: PROJECTION_VERSION }
  await querying('make the checkpoint', () => db.insert(checkpoint).values(first).onConflictDoNothing())
  const row = await readCheckpoint(db)
  if (!row) throw new Error('the checkpoint vanished')
  return row
}

export const positionOf = (row: CheckpointRow): LogPosition => ({
  seq: row.seq,
  id: row.eventId,
  streamCreated: row.streamCreated,
  time: row.time,
})

/** Says in the checkpoint why its projector goes no further, or (null) that it does; elsewhere than at `seq` not. */
export async function writeHalted(db: Db, seq: number, halted: string | null, model = liveModel): Promise<void> {
  await querying('write the checkpoint', () =>
    db
      .update(checkpoint)
      .set({ halted })
      .where(and(isOf(model), eq(checkpoint.seq, seq))),
  )
}
