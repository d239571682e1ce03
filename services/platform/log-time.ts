import type { Log } from './log.ts'

/**
 * Sequence of the last event that came into this log at `time` (Unix milliseconds) or before, 0 where there is
 * none. All up to it were recorded by then, unless the broker's clock was set back meanwhile; of those after it imported ones
 * may have been, too. By bisection, some twenty reads. Throws `log-unavailable`.
 */
export async function lastSeqBy(log: Pick<Log, 'messageAt' | 'head'>, time: number): Promise<number> {
  let last = 0
  for (let end = (await log.head()).lastSeq; last < end; ) {
    const middle = Math.ceil((last + end) / 2)
    const event = await log.messageAt(middle)
    if (event && (event.storedAt ?? event.recordedAt) <= time) last = middle
    else end = middle - 1
  }
  return last
}

/**
 * Unix milliseconds of when the broker stored a message, from the nanoseconds that a consumer is told. They are more than a
 * double holds, which is how the client library has them: whoever reads them otherwise has to round them so, too, for an event has one time.
 */
export const millisOf = (nanoseconds: number): number => Math.floor(nanoseconds / 1e6)

/** The same from its text (RFC 3339 in UTC, nanoseconds). */
export function storedAtOf(timestamp: string): number {
  const [, seconds = '', fraction = ''] = /^([^.Z]+)(?:\.(\d+))?Z$/.exec(timestamp) ?? []
  return millisOf(Date.parse(`${seconds}Z`) * 1e6 + Number(fraction.padEnd(9, '0')))
}

/**
 * When a message was recorded, by the broker that stored it first: for one that was imported that is said by itself
 * (`recordedTime`, RFC 3339, '' for none), and `storedAt` is when it came into this log.
 */
export function timesOf(recordedTime: string, storedAt: number): { recordedAt: number; storedAt?: number } {
  const first = Date.parse(recordedTime)
  return Number.isNaN(first) ? { recordedAt: storedAt } : { recordedAt: first, storedAt }
}
