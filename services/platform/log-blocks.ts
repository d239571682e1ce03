import { setMaxListeners } from 'node:events'
import { idPrefixOf } from '../../events/cursor.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import type { Broker } from './broker.ts'
import { createGate } from './gate.ts'
import type { Log } from './log.ts'
import { type LogPosition, readAll, startOfLog } from './log-reader.ts'
import type { Logger } from './logger.ts'
import type { UnreadableEvent } from './unreadable.ts'

type Event = RecordedEvent | UnreadableEvent

/** A log that is read in blocks, each of them once for all who need it at about the same time. */
export type LogBlocks = {
  /**
   * What comes after a position in its block, one event at least: all of the block has to be in the log. Broker outages
   * are waited out. Throws `log-replaced` where another event is at the position or what comes next is missing,
   * `aborted` once it is over, and whatever a fault of the program in decoding throws.
   */
  after(position: LogPosition): Promise<readonly Event[]>
}

/** Events of a block. A reader asks for twice as many as it gives at once: half of one and the event before it. */
const SIZE = 200
const KEPT = 25
const AT_ONCE = 8

/** Of the log as it is until one of the signals fires. */
export function createLogBlocks(
  parts: { broker: Broker; log: Log; logger: Logger },
  signals: readonly AbortSignal[],
): LogBlocks {
  const stop = AbortSignal.any([...signals])
  setMaxListeners(0, stop) // every block that is being read listens
  /** By their number; the one that was asked for last is the last. */
  const blocks = new Map<number, Promise<readonly Event[]>>()
  const gate = createGate(AT_ONCE)

  function blockOf(number: number): Promise<readonly Event[]> {
    const block = blocks.get(number) ?? gate(() => read(number))
    blocks.delete(number)
    blocks.set(number, block)
    for (const oldest of blocks.keys()) {
      if (blocks.size <= KEPT) break
      blocks.delete(oldest)
    }
    block.catch(() => blocks.get(number) === block && blocks.delete(number)) // thrown where it is awaited
    return block
  }

  /** The event before it, where there is one, and all of its own. */
  async function read(number: number): Promise<readonly Event[]> {
    const last = (number + 1) * SIZE
    const from = { ...startOfLog, seq: Math.max(0, number * SIZE - 1) }
    const events: Event[] = []
    for await (const batch of readAll(parts, { from, signal: stop, batchSize: SIZE / 2 + 1 })) {
      events.push(...batch.filter(({ seq }) => seq <= last))
      if (events.at(-1)?.seq === last) return events
    }
    throw interrupted()
  }

  /** What is missing from a block, such as the beginning of a log that was cut off, may all be before the position. */
  async function alone(from: LogPosition): Promise<readonly Event[]> {
    for await (const batch of readAll(parts, { from, signal: stop, batchSize: SIZE / 2 })) return batch
    throw interrupted()
  }

  return {
    async after(position) {
      const { seq, id } = position
      const events = await blockOf(Math.floor(seq / SIZE)).catch((error) => {
        if (isFaafoError(error, 'log-replaced')) return null
        throw error
      })
      if (events === null) return gate(() => alone(position))
      const at = events.findIndex((event) => event.seq === seq)
      const there = events[at]
      if (there && id !== null && idPrefixOf(there.id) !== idPrefixOf(id)) {
        throw new FaafoError('log-replaced', `cannot go on from event ${seq}: the event there is now ${there.id}`, {
          details: { seq, expectedId: id, difference: 'another-event' },
        })
      }
      return events.slice(at + 1)
    },
  }
}

const interrupted = () => new FaafoError('aborted', 'cannot go on reading the log: it was interrupted')
