import { pause } from '../platform/shutdown.ts'

/** Resolves when it is the caller's turn, or, without one, when `signal` fires. */
export type Pace = (signal: AbortSignal) => Promise<void>

/** Timers are late; that much is made up for, and no more: what a pause left unused is gone. */
const MADE_UP_MS = 100

/** So many turns in a second, evenly spread; null: any number. A turn counts only once it was taken. */
export function createPace(rate: number | null): Pace {
  if (rate === null) return () => Promise.resolve()
  let next = 0
  return async (signal) => {
    for (let now = Date.now(); now < next; now = Date.now()) {
      await pause(next - now, signal)
      if (signal.aborted) return
    }
    next = Math.max(Date.now() - MADE_UP_MS, next) + 1000 / rate
  }
}
