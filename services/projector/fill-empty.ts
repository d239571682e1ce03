import { isFaafoError, messageOf } from '../../events/errors.ts'
import { openBulkLoader } from '../platform/bulk-loader.ts'
import { readCheckpoint } from '../platform/checkpoint.ts'
import { rootCause } from '../platform/database.ts'
import { migrateDatabase } from '../platform/migrate.ts'
import { nextModel } from '../platform/read-model.ts'
import { pause } from '../platform/shutdown.ts'
import { openCheckpoint } from './checkpoint.ts'
import type { ProjectorParts } from './fold-log.ts'
import { rebuild } from './rebuild.ts'

/** Events from which on a rebuild, which makes and compares a whole read model, is the quicker way to fill an empty one. */
export const MANY_EVENTS = 20_000
/** In that time whoever else is building one gets on, but for its indexes. */
const LOOK_MS = 5_000

/**
 * Fills a read model at the start of a long log by a rebuild, which takes over whole, where the database takes COPY and
 * nobody else is doing so. Resolves to whether that may be worthwhile later: no longer once it is filled, nor where it was tried in vain, and
 * event by event it comes as far as it can, and says where it can go no further. Throws `database-unavailable` or `log-unavailable`
 * before it has begun. `rebuilding`: the same parts for whole read models, where single statements take long.
 */
export async function fillEmpty(
  parts: ProjectorParts,
  signal: AbortSignal,
  rebuilding: ProjectorParts,
): Promise<boolean> {
  const { db, logger } = parts
  await migrateDatabase(db)
  if ((await openCheckpoint(db)).seq > 0) return false
  if (!(await isWorthwhile(parts, signal))) return true
  logger.info('filling the empty read model by a rebuild')
  try {
    const { seq, fractals } = await rebuild(rebuilding, { signal, acceptsLog: false })
    logger.info({ seq, fractals }, 'the read model is filled')
  } catch (error) {
    const bound = isFaafoError(error) ? { reason: messageOf(rootCause(error)) } : { err: rootCause(error) }
    if (!signal.aborted) logger.warn(bound, 'cannot fill the read model by a rebuild')
  }
  return false
}

async function isWorthwhile({ db, log, logger }: ProjectorParts, signal: AbortSignal): Promise<boolean> {
  if ((await log.head()).lastSeq < MANY_EVENTS) return false
  const loader = await openBulkLoader(db, logger)
  await loader?.close()
  return loader !== null && !(await othersBuild(db, signal))
}

/** Whether somebody else's gets on: one that stands still was left behind, if it is not about to take over. */
async function othersBuild(db: ProjectorParts['db'], signal: AbortSignal): Promise<boolean> {
  const before = await readCheckpoint(db, nextModel)
  if (!before) return false
  await pause(LOOK_MS, signal)
  const now = await readCheckpoint(db, nextModel)
  return signal.aborted || now?.epoch !== before.epoch || now.seq !== before.seq
}
