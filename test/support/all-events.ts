import type { RecordedEvent } from '../../events/events.ts'
import type { Broker } from '../../services/platform/broker.ts'
import type { Log } from '../../services/platform/log.ts'
import { readLog, startOfLog } from '../../services/platform/log-reader.ts'
import type { Logger } from '../../services/platform/logger.ts'

/** Every event that the log holds now, in its order; there has to be one. */
export async function allEvents(parts: { broker: Broker; log: Log; logger: Logger }): Promise<RecordedEvent[]> {
  const { lastSeq } = await parts.log.head()
  const events: RecordedEvent[] = []
  const done = new AbortController()
  for await (const batch of readLog(parts, { from: startOfLog, signal: done.signal })) {
    events.push(...batch)
    if (events.length >= lastSeq) done.abort()
  }
  return events
}
