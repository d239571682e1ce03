import { messageOf } from '../../events/errors.ts'
import type { Logger } from '../platform/logger.ts'
import { pause } from '../platform/shutdown.ts'
import type { Position } from '../platform/webhook-store.ts'
import type { BeginParts } from './begin.ts'

/** What was delivered since the last write is delivered again after a crash: about so long, then. */
const WRITE_MS = 2_000
/** Where nothing was to be delivered, and only the place in the log moved. */
const MOVED_MS = 15_000

/** Writes how far a webhook has come, now and then and at the end, for as long as nobody else does. */
export type Progress = {
  /** A delivery was taken up, or came to something. */
  changed(): void
  /** Events went by. */
  moved(): void
  /** Until `closing` fires. */
  run(closing: AbortSignal): Promise<void>
  /** The last write; whether it stands. */
  end(): Promise<boolean>
}

export function createProgress(
  { store, me, logger, random }: BeginParts & { logger: Logger; random: () => number },
  id: string,
  first: number,
  position: () => Position,
  onLost: () => void,
): Progress {
  let revision = first
  let hasChanged = false
  let hasMoved = false
  let writtenAt = Date.now()
  let isLost = false

  async function write(): Promise<void> {
    const [changed, moved] = [hasChanged, hasMoved]
    hasChanged = false
    hasMoved = false
    try {
      const value = position()
      let written = await store.writePosition(id, value, revision)
      if (written === null) {
        // An earlier write may have been stored though its answer was lost.
        const { value: there, revision: newest } = await store.position(id)
        if (there?.by === me && there.start === value.start && there.handled === value.handled) {
          written = await store.writePosition(id, value, newest)
        }
      }
      if (written === null) {
        isLost = true
        logger.info('somebody else delivers it')
        return onLost()
      }
      revision = written
      writtenAt = Date.now()
    } catch (error) {
      hasChanged ||= changed
      hasMoved ||= moved
      throw error
    }
  }

  return {
    changed() {
      hasChanged = true
    },
    moved() {
      hasMoved = true
    },
    async run(closing) {
      while (!closing.aborted && !isLost) {
        await pause(WRITE_MS * (0.75 + random() / 2), closing) // not all webhooks at the same moment
        if (closing.aborted || !(hasChanged || (hasMoved && Date.now() - writtenAt >= MOVED_MS))) continue
        await write().catch((error) => logger.debug({ reason: messageOf(error) }, 'position not written'))
      }
    },
    async end() {
      if (isLost) return false
      if (!hasChanged && !hasMoved) return true
      try {
        await write()
      } catch (error) {
        logger.warn({ reason: messageOf(error) }, 'position not written: some deliveries will come again')
      }
      return !isLost
    },
  }
}
