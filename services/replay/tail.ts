import { idPrefixOf } from '../../events/cursor.ts'
import { FaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import type { Moment } from '../../events/moment.ts'
import type { Broker } from '../platform/broker.ts'
import type { Log } from '../platform/log.ts'
import { type LogPosition, readAll, startOfLog, verifyPosition } from '../platform/log-reader.ts'
import { lastSeqBy } from '../platform/log-time.ts'
import type { Logger } from '../platform/logger.ts'
import type { UnreadableEvent } from '../platform/unreadable.ts'

export type TailOptions = {
  /** Only events after this cursor, or from this time on. Without it, the last few and what follows. */
  since?: Moment | undefined
  /** Only of these fractals, or of these types; all where there are none. */
  uuids?: readonly string[]
  types?: readonly string[]
  /** Whether to wait for more events once the log's end is reached. */
  follow: boolean
  signal: AbortSignal
}

/** So many events of the log stand before what follows where nobody says since when. */
const LAST = 10

/**
 * Events in the order of the log, until `signal` fires or, where it does not follow, the end that the log has now.
 * Throws `log-replaced` where the cursor is not of this log, or that end is lost meanwhile, `log-unavailable`.
 */
export async function* tailLog(
  parts: { broker: Broker; log: Log; logger: Logger },
  { since, uuids = [], types = [], follow, signal }: TailOptions,
): AsyncGenerator<RecordedEvent | UnreadableEvent, void, undefined> {
  const { lastSeq } = await parts.log.head()
  const from = await positionOf(parts.log, since ?? { seq: Math.max(0, lastSeq - LAST), idPrefix: null })
  await verifyPosition(parts.log, from)
  const after = since && 'time' in since ? since.time : Number.NEGATIVE_INFINITY
  for await (const batch of readAll(parts, { from, signal, ...(!follow && { until: lastSeq }) })) {
    for (const event of batch) {
      const isAsked =
        event.recordedAt >= after &&
        (uuids.length === 0 || uuids.includes(event.fractal)) &&
        (types.length === 0 || types.includes(event.type))
      if (isAsked) yield event
    }
  }
}

/** Where reading begins: after the cursor, or before the first event that can be of that time. */
async function positionOf(log: Log, since: Moment): Promise<LogPosition> {
  if ('idPrefix' in since) return positionAfter(log, since)
  return positionAfter(log, { seq: await lastSeqBy(log, since.time - 1), idPrefix: null })
}

async function positionAfter(log: Log, { seq, idPrefix }: { seq: number; idPrefix: string | null }) {
  if (seq === 0) return startOfLog
  if (idPrefix !== null) return { ...startOfLog, seq, id: idPrefix } // it is compared when reading begins
  const event = await log.messageAt(seq)
  if (event) return { ...startOfLog, seq, id: idPrefixOf(event.id) }
  throw new FaafoError('log-replaced', `cannot go on from event ${seq}: it is not in the log`)
}
