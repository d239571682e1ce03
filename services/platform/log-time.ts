import type { Log } from './log.ts'

/**
 * Sequence of the last event that came into this log at `time` (Unix milliseconds) or before, 0 where there is
 * none. All up to it were recorded by then; of those after it imported ones may have been, too. By bisection, some twenty
 * reads. Throws `log-unavailable`.
 */
export async function lastSeqBy(log: Pick<Log, 'at' | 'head'>, time: number): Promise<number> {
  let last = 0
  for (let end = (await log.head()).lastSeq; last < end; ) {
    const middle = Math.ceil((last + end) / 2)
    const event = await log.at(middle)
    if (event && (event.storedAt ?? event.recordedAt) <= time) last = middle
    else end = middle - 1
  }
  return last
}

/**
 * Unix milliseconds of when the broker stored a message, from its text (RFC 3339 in UTC, nanoseconds). Rounded as the
 * client library rounds what a consumer is told, nanoseconds in a double, so that either way an event has one time.
 */
export function storedAtOf(timestamp: string): number {
  const [, seconds = '', fraction = ''] = /^([^.Z]+)(?:\.(\d+))?Z$/.exec(timestamp) ?? []
  return Math.floor((Date.parse(`${seconds}Z`) * 1e6 + Number(fraction.padEnd(9, '0'))) / 1e6)
}
