import { isFaafoError } from '../../events/errors.ts'
import type { Imports } from '../platform/imports.ts'
import type { Logger } from '../platform/logger.ts'
import type { AttemptLog, Request } from './attempt-log.ts'
import type { Settlement } from './task-run.ts'

/** An imported request waits so long before we look again whether its import is over. */
const AGAIN_MS = 5_000

/**
 * What becomes of the message of an imported request before anything is done: its outcome may be there, or still on its
 * way for as long as its import goes on. null: nothing stands in the way of rendering it. Does not throw.
 */
export function importedTasks(parts: {
  attempts: Pick<AttemptLog, 'isClosed'>
  imports: Imports
  logger: Logger
}): (request: Request, importid: string) => Promise<Settlement | null> {
  const { attempts, imports, logger } = parts
  return async (request, importid) => {
    try {
      // In this order: an import that is over before the outcome is looked for has brought it, if there is one.
      const isOver = await imports.isOver(importid)
      if (await attempts.isClosed(request)) return { type: 'ack' }
      return isOver ? null : { type: 'nak', delayMs: AGAIN_MS }
    } catch (error) {
      if (!isFaafoError(error, 'log-unavailable')) logger.error({ err: error, importid }, 'cannot look at the import')
      return { type: 'nak', delayMs: AGAIN_MS }
    }
  }
}
