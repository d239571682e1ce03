import { eq, sql } from 'drizzle-orm'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { type Db, querying } from '../platform/database.ts'
import { migrateDatabase } from '../platform/migrate.ts'
import { checkpoint, FRACTAL_PROJECTION, fractal } from '../platform/schema.ts'
import { pause } from '../platform/shutdown.ts'
import { openCheckpoint } from '../projector/checkpoint.ts'
import { foldLog, type ProjectorParts } from '../projector/fold-log.ts'

const FENCE_LOST_MS = 500

/**
 * Empties the `fractal` table and folds the log into it again, up to the end that the log has now; resolves to that
 * sequence. Whatever log is there is taken, so this is also the way on after a log was replaced.
 *
 * A running projector loses the fence and stands by until we are done; where it takes over earlier, it folds the same
 * log. May be killed at any moment: the table and its checkpoint agree, a projector goes on from there, and so does
 * running it again, from the start. `onProgress` hears sequences. Throws as `foldLog`, and `aborted`.
 */
export async function rebuild({
  signal,
  onProgress = () => {},
  ...parts
}: ProjectorParts & {
  signal: AbortSignal
  onProgress?: (progress: { seq: number; lastSeq: number }) => void
}): Promise<number> {
  const { db, log } = parts
  const { lastSeq } = await log.head()
  await migrateDatabase(db)
  await openCheckpoint(db)
  await empty(db)
  while (!signal.aborted) {
    try {
      await foldLog(parts, { signal, until: lastSeq, onProgress: ({ seq }) => onProgress({ seq, lastSeq }) })
      if (!signal.aborted) return lastSeq
    } catch (error) {
      if (!isFaafoError(error, 'fence-lost')) throw error
      await pause(FENCE_LOST_MS, signal)
    }
  }
  throw new FaafoError('aborted', 'cannot finish the rebuild: it was interrupted; a projector goes on where it stopped')
}

/** The checkpoint first: it is the fence, and every projector takes it first. */
const empty = (db: Db) =>
  querying('empty the table', () =>
    db.transaction(async (tx) => {
      await tx
        .update(checkpoint)
        .set({ seq: 0, eventId: null, streamCreated: null, time: 0, halted: null })
        .where(eq(checkpoint.projection, FRACTAL_PROJECTION))
      await tx.execute(sql`truncate ${fractal}`)
    }),
  )
