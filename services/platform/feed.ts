import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import type { Broker } from './broker.ts'
import type { Log } from './log.ts'
import { createLogBlocks, type LogBlocks } from './log-blocks.ts'
import { type LogPosition, positionAfter, readAll, startOfLog } from './log-reader.ts'
import type { Logger } from './logger.ts'
import { orAborted, pause } from './shutdown.ts'
import type { UnreadableEvent } from './unreadable.ts'

/** The same object for all who follow near the end, so that what is made of it can be made once. */
export type FeedEvent = RecordedEvent | UnreadableEvent

/** The log for many who follow it at once: read a single time near its end, and in blocks for those who are far behind. */
export type Feed = {
  /**
   * Every event after `from`, in order and without gaps, in batches of what is there, until `signal` fires. One that is
   * taken slowly holds up nobody else, and holds no more than two batches in memory. Broker outages are waited out, and so
   * is a fault of the program near the log's end, which is logged. Throws `log-replaced` where the log is not the one that the position was taken from, or is another one since.
   */
  follow(from: LogPosition, signal: AbortSignal): AsyncGenerator<readonly FeedEvent[], void, undefined>
}

/** Newest events that are kept in memory; at most twice as many for a moment. */
const KEPT = 5_000
/** Of these, so many are from before it was begun, for those who come back after a restart. */
const FROM_BEFORE = 500
const AT_ONCE = 100
const AGAIN_MS = 500
/** A fault of the program is met again and again, and told so often. */
const SAID_EVERY_MS = 30_000

/** Begins to read when it is first followed, and ends when `stop` fires. */
export function createFeed(parts: { broker: Broker; log: Log; logger: Logger }, stop: AbortSignal): Feed {
  /** Events without gaps from the sequence `first` on; null while nobody has read any. */
  let recent: { first: number; events: FeedEvent[] } | null = null
  let log = openLog()
  let isRead = false
  const waiting = new Set<() => void>()

  /** Until it turns out to be another one. */
  function openLog(): { isReplaced: AbortController; blocks: LogBlocks } {
    const isReplaced = new AbortController()
    return { isReplaced, blocks: createLogBlocks(parts, [stop, isReplaced.signal]) }
  }

  /** Resolves at the next news, or when `signal` fires. */
  const news = (signal: AbortSignal) =>
    new Promise<void>((done) => {
      const wake = () => {
        waiting.delete(wake)
        signal.removeEventListener('abort', wake)
        done()
      }
      waiting.add(wake)
      signal.addEventListener('abort', wake, { once: true })
    })
  const tell = () => {
    for (const wake of [...waiting]) wake()
  }

  async function read(): Promise<void> {
    let missing = 0 // up to there
    let saidAt = Number.NEGATIVE_INFINITY
    while (!stop.aborted) {
      try {
        const { lastSeq } = await parts.log.head()
        const from = { ...startOfLog, seq: Math.max(missing, lastSeq - FROM_BEFORE) }
        recent = { first: from.seq + 1, events: [] }
        tell()
        for await (const batch of readAll(parts, { from, signal: stop })) {
          const { events } = recent
          events.push(...batch)
          if (events.length > 2 * KEPT) recent.first += events.splice(0, events.length - KEPT).length
          tell()
        }
      } catch (error) {
        recent = null
        if (isFaafoError(error, 'log-replaced')) {
          missing = Number(error.details.next ?? 1) - 1
          log.isReplaced.abort()
          log = openLog()
        }
        if (isFaafoError(error)) parts.logger.debug({ reason: error.message }, 'events not read, again in a moment')
        else if (performance.now() >= saidAt + SAID_EVERY_MS) {
          saidAt = performance.now()
          parts.logger.error({ err: error }, 'events not read, again in a moment')
        }
        tell()
        await pause(AGAIN_MS, stop)
      }
    }
  }

  return {
    async *follow(from, signal) {
      if (!isRead) void read()
      isRead = true
      const { isReplaced, blocks } = log
      let position = from
      while (!signal.aborted && !stop.aborted) {
        if (isReplaced.signal.aborted) {
          const reason = 'the log was replaced, or has lost its end'
          throw new FaafoError('log-replaced', `cannot go on from event ${position.seq}: ${reason}`)
        }
        const begin = recent ? position.seq + 1 - recent.first : 0
        const batch =
          begin < 0 ? await farBehind(blocks, position, signal) : (recent?.events.slice(begin, begin + AT_ONCE) ?? [])
        if (batch.length > 0) {
          yield batch
          position = positionAt(position, batch)
        } else if (begin >= 0) await news(signal)
      }
    },
  }
}

/** What comes next from the blocks; nothing where `signal` fired meanwhile, or the log that they are of is over. */
async function farBehind(blocks: LogBlocks, position: LogPosition, signal: AbortSignal): Promise<readonly FeedEvent[]> {
  const reading = blocks.after(position)
  await orAborted(reading, signal)
  if (signal.aborted) return []
  try {
    return (await reading).slice(0, AT_ONCE)
  } catch (error) {
    if (isFaafoError(error, 'aborted')) return []
    throw error
  }
}

function positionAt(position: LogPosition, batch: readonly FeedEvent[]): LogPosition {
  const last = batch.at(-1)
  return last ? positionAfter(position, last) : position
}
