import { pause } from '../platform/shutdown.ts'

/** Resolves to true when it is the caller's turn, to false where `signal` fires before. */
export type Pace = (signal: AbortSignal) => Promise<boolean>

/** Timers are late; that much is made up for, and no more: what a pause left unused is gone. */
const MADE_UP_MS = 100

/** So many turns in a second, evenly spread; null: any number. A turn counts only once it was taken. */
export function createPace(rate: number | null): Pace {
  if (rate === null) return () => Promise.resolve(true)
  let next = 0
  return async (signal) => {
    for (let now = Date.now(); now < next; now = Date.now()) {
      await pause(next - now, signal)
      if (signal.aborted) return false
    }
    next = Math.max(Date.now() - MADE_UP_MS, next) + 1000 / rate
    return true
  }
}
