import { eq } from 'drizzle-orm'
import { type Db, querying } from './database.ts'
import { liveModel, type ReadModel } from './read-model.ts'
import { type CheckpointRow, checkpoint } from './schema.ts'

/** The row of the copy's checkpoint. */
export const isOf = ({ projection }: ReadModel) => eq(checkpoint.projection, projection)

/** How far a copy of the read model is; null before the first projector. Throws `database-unavailable`. */
export const readCheckpoint = (db: Db, model = liveModel): Promise<CheckpointRow | null> =>
  querying('read the checkpoint', async () => (await db.select().from(checkpoint).where(isOf(model)))[0] ?? null)
