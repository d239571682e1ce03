import { decode as decodeOurs, encode, type Position, type ReceivedMessage } from '../../events/codec.ts'
import { isFaafoError } from '../../events/errors.ts'
import type { FractalEvent, RecordedEvent } from '../../events/events.ts'
import { parkedIdOf } from '../../events/parked.ts'
import { fold, type Task } from '../../events/task.ts'
import type { Broker } from './broker.ts'
import { droppedEvents, isDropped, parkedEvents } from './parked-events.ts'
import { type AppendOptions, openSlots, type Slots, walk } from './slots.ts'
import { type UnreadableEvent, unreadableOf } from './unreadable.ts'

/**
 * The log as decisions see it: slots are read from the stream's leader and filled at most once.
 * Every method throws `log-unavailable` when the broker does not answer in time.
 */
export type Log = Pick<Slots<RecordedEvent>, 'read' | 'at' | 'messageAt' | 'head'> & {
  /** The event of a message. Throws `undecodable-event`. */
  decode: Decode
  /**
   * Puts the event into its slot, or finds who has it. The outcome is certain: an unclear answer is settled by
   * reading the slot back and publishing again until the time given has passed. Throws `log-full`, or
   * `log-unavailable`: it may or may not have been stored. To append the very same event again, with its id, is always
   * safe and settles that; a caller with more patience does so, and can tell of it.
   */
  append(event: FractalEvent, options?: AppendOptions): Promise<Appended>
  /**
   * Everything that happened to one fractal, in the order of the log, without what was dropped from it. Throws
   * `undecodable-event` where one of its events cannot be read.
   */
  history(uuid: string): Promise<RecordedEvent[]>
  /** The same with what was dropped or cannot be read, as it stands in the log. */
  wholeHistory(uuid: string): Promise<(RecordedEvent | UnreadableEvent)[]>
  /** The fractal's state now. */
  load(uuid: string): Promise<Task>
}

export type Appended = { won: boolean; event: RecordedEvent }

/** How long it may take until an event that operators dropped counts for nothing here, too. */
const DROPPED_MS = 2_000

type Decode = (message: ReceivedMessage, position: Position) => RecordedEvent

/** `decode`: which events this program knows, all of today's where none is given. */
export function createLog(broker: Broker, decode: Decode = decodeOurs): Log {
  const { names } = broker
  const slots = openSlots(broker, names.stream, decode)
  const { append, at, messageAt, head } = slots
  const parked = parkedEvents(broker)

  let dropped: { at: number; events: Promise<ReadonlySet<string>> } | undefined
  broker.onReconnect(() => {
    dropped = undefined
  })

  function droppedByNow(): Promise<ReadonlySet<string>> {
    if (dropped && Date.now() - dropped.at < DROPPED_MS) return dropped.events
    const asked = { at: Date.now(), events: droppedEvents(broker) }
    dropped = asked
    asked.events.catch(() => {
      if (dropped === asked) dropped = undefined
    })
    return asked.events
  }

  /** What is in a slot; undefined: it was dropped. */
  async function known(slot: string): Promise<RecordedEvent | null | undefined> {
    try {
      return await slots.read(slot)
    } catch (error) {
      if (await isDropped(parked, error)) return undefined
      throw error
    }
  }

  /** What is in a slot, whether or not it can be read. */
  async function anything(slot: string): Promise<RecordedEvent | UnreadableEvent | null> {
    try {
      return await slots.read(slot)
    } catch (error) {
      if (!isFaafoError(error, 'undecodable-event')) throw error
      const message = await messageAt(Number(error.details.seq))
      return message && unreadableOf(message, names, error)
    }
  }

  /** Requests first: once generation g + 1 is seen, the outcome of g is there for the reads after it. */
  async function inSlotsOf<E extends { seq: number }>(
    uuid: string,
    read: (slot: string) => Promise<E | null | undefined>,
  ): Promise<E[]> {
    const requests = await walk((g) => read(names.requested(uuid, g)))
    const generation = async (g: number) => {
      const [attempts, outcome] = await Promise.all([
        walk((entry) => read(names.attempt(uuid, g, entry))),
        read(names.outcome(uuid, g)),
      ])
      return [...attempts, outcome]
    }
    const [generations, removed] = await Promise.all([
      Promise.all(requests.map((_, i) => generation(i + 1))),
      read(names.removed(uuid)),
    ])
    const found = [...requests, ...generations.flat(), removed].filter((event) => event != null)
    return found.sort((a, b) => a.seq - b.seq)
  }

  async function history(uuid: string): Promise<RecordedEvent[]> {
    const ignored = await droppedByNow()
    const events = await inSlotsOf(uuid, known)
    return ignored.size === 0 ? events : events.filter((event) => !ignored.has(parkedIdOf(event)))
  }

  return {
    read: slots.read,
    at,
    messageAt,
    head,
    decode,
    history,
    wholeHistory: (uuid) => inSlotsOf(uuid, anything),
    load: async (uuid) => fold(await history(uuid)),
    async append(event, options) {
      const { id, fractal } = event
      const what = `${event.type} of fractal '${fractal}'`
      const entry = { subject: names.slot(event), id, message: encode(event), what, details: { uuid: fractal } }
      const done = await append(entry, options)
      if ('holder' in done) return { won: done.holder.id === id, event: done.holder }
      return { won: true, event: { ...event, seq: done.seq, recordedAt: Date.parse(event.time) } }
    },
  }
}
