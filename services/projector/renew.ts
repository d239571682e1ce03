import { isFaafoError, messageOf } from '../../events/errors.ts'
import { readCheckpoint } from '../platform/checkpoint.ts'
import { rootCause } from '../platform/database.ts'
import { nextModel, PROJECTION_VERSION } from '../platform/read-model.ts'
import { pause } from '../platform/shutdown.ts'
import { isWorkedOn } from './copies.ts'
import type { ProjectorParts } from './fold-log.ts'
import { rebuild } from './rebuild.ts'

const LOOK_MS = 5_000
/** Looks at a new read model that somebody else is building, which stands still and which nobody works on, after which it counts as abandoned. */
const LOOKS = 24
const AGAIN_MS = 60_000

/**
 * Makes the read model anew where its rows are of an older version of the projection, and tries again until that is
 * done or `signal` fires. Where another projector has begun the same it is left to that one, unless it stands still.
 */
export async function renew(parts: ProjectorParts, signal: AbortSignal): Promise<void> {
  const { logger } = parts
  while (!signal.aborted) {
    try {
      if (!(await isOld(parts))) return
      await othersEnd(parts, signal)
      if (signal.aborted || !(await isOld(parts))) return
      logger.info({ version: PROJECTION_VERSION }, 'making the read model anew for this version')
      const { seq, fractals, differing } = await rebuild(parts, { signal, acceptsLog: false })
      logger.info({ seq, fractals, differing }, 'the new read model took over')
    } catch (error) {
      if (signal.aborted) return
      if (isFaafoError(error, 'fence-lost')) continue // left to whoever has begun another
      logger.warn({ reason: messageOf(rootCause(error)) }, 'cannot make the read model anew yet')
      await pause(AGAIN_MS, signal)
    }
  }
}

const isOld = async ({ db }: ProjectorParts) => ((await readCheckpoint(db))?.version ?? 0) < PROJECTION_VERSION

/** Until nobody else builds one, or what somebody builds stands still for long. */
async function othersEnd({ db }: ProjectorParts, signal: AbortSignal): Promise<void> {
  let seen: string | undefined
  for (let still = 0; still < LOOKS && !signal.aborted; still++) {
    const row = await readCheckpoint(db, nextModel)
    if (!row) return
    const stand = `${row.epoch} ${row.seq}`
    if (stand !== seen || (await isWorkedOn(db, nextModel))) still = 0
    seen = stand
    await pause(LOOK_MS, signal)
  }
}
