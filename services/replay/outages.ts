import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { pause } from '../platform/shutdown.ts'

/** How long a broker may be away before what asks it ends; an import or an export that is done again goes on there. */
const PATIENCE_MS = 60_000
const PAUSE_MS = 200

/**
 * Asks again for a minute where a broker that is away has that throw `log-unavailable` or `storage-unavailable`. Throws
 * `aborted` where it failed and `signal` had fired.
 */
export async function throughOutages<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (signal.aborted) throw interrupted()
      if (!isOutage(error) || Date.now() >= deadline) throw error
      await pause(PAUSE_MS, signal)
    }
  }
}

/** No stream of that name, and what a file system refuses, will be the same in a minute. */
function isOutage(error: unknown): boolean {
  if (isFaafoError(error, 'log-unavailable')) return error.details.missing === undefined
  if (!isFaafoError(error, 'storage-unavailable')) return false
  return !(error.cause instanceof Error && 'syscall' in error.cause)
}

export const interrupted = () => new FaafoError('aborted', 'cannot go on: it was interrupted')
