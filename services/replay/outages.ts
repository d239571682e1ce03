import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { pause } from '../platform/shutdown.ts'

/** How long a broker may be away before an import ends; the next one goes on where it stopped. */
const PATIENCE_MS = 60_000
const PAUSE_MS = 200

/**
 * Asks again for a minute where that throws `log-unavailable`, unless there is no such stream. Throws `aborted` where it
 * failed and `signal` had fired.
 */
export async function throughOutages<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (signal.aborted) throw interrupted()
      const isAway = isFaafoError(error, 'log-unavailable') && error.details.missing === undefined
      if (!isAway || Date.now() >= deadline) throw error
      await pause(PAUSE_MS, signal)
    }
  }
}

export const interrupted = () => new FaafoError('aborted', 'cannot go on importing: it was interrupted')
