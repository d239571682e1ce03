import type { Waiting } from '../platform/webhook-store.ts'

/** How long deliveries are tried. All in ms. */
export type Schedule = {
  /** Of the first pause at most; each one after it is at most twice as long, up to the longest. */
  firstPauseMs: number
  longestPauseMs: number
  /** A delivery is tried for so long at least, and then parked. */
  parkAfterMs: number
  /** A webhook that nothing could be delivered to for so long is paused. */
  pauseAfterMs: number
}

const HOUR_MS = 3_600_000

export const usualSchedule: Schedule = {
  firstPauseMs: 2_000,
  longestPauseMs: 4 * HOUR_MS,
  parkAfterMs: 24 * HOUR_MS,
  pauseAfterMs: 24 * HOUR_MS,
}

/** Longest that we do as `Retry-After` says. */
const LONGEST_RETRY_AFTER_MS = 24 * HOUR_MS
/** So that a jitter of nearly nothing is no hammering. */
const SHORTEST_PAUSE_MS = 200

/** Pause after so many tries: full jitter, so that those who failed together do not come back together. `random` in [0, 1). */
export function pauseAfter(tries: number, { firstPauseMs, longestPauseMs }: Schedule, random: number): number {
  const most = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(tries - 1, 40))
  return Math.max(Math.min(SHORTEST_PAUSE_MS, most), Math.round(random * most))
}

/** `Retry-After` in ms from `now`, seconds or an HTTP date; null where it says neither. */
export function parseRetryAfter(text: string | undefined, now: number): number | null {
  if (text === undefined) return null
  const ms = /^\s*\d+\s*$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now
  return Number.isFinite(ms) ? Math.min(LONGEST_RETRY_AFTER_MS, Math.max(0, ms)) : null
}

export type Failed = { at: number; retryAfterMs: number | null }

/** What a failed try means: another one, the end of this delivery, or, where nothing else succeeds either, of all. */
export type Verdict = { type: 'again'; trial: Pick<Waiting, 'tries' | 'since' | 'next'> } | { type: 'park' | 'pause' }

/** `failingSince`: since when nothing succeeded, this try among them. */
export function verdictOn(
  { tries, since }: Pick<Waiting, 'tries' | 'since'>,
  { at, retryAfterMs }: Failed,
  { failingSince, now, random, schedule }: { failingSince: number; now: number; random: number; schedule: Schedule },
): Verdict {
  if (now - failingSince >= schedule.pauseAfterMs) return { type: 'pause' }
  const first = tries === 0 ? at : since
  if (now - first >= schedule.parkAfterMs) return { type: 'park' }
  const pause = Math.max(retryAfterMs ?? 0, pauseAfter(tries + 1, schedule, random))
  return { type: 'again', trial: { tries: tries + 1, since: first, next: now + pause } }
}
