import { decode, encode } from '../../events/codec.ts'
import type { FractalEvent, RecordedEvent } from '../../events/events.ts'
import { fold, type Task } from '../../events/task.ts'
import type { Broker } from './broker.ts'
import { type AppendOptions, openSlots, type Slots } from './slots.ts'

/**
 * The log as decisions see it: slots are read from the stream's leader and filled at most once.
 * Every method throws `log-unavailable` when the broker does not answer in time.
 */
export type Log = Pick<Slots<RecordedEvent>, 'read' | 'at' | 'head'> & {
  /**
   * Puts the event into its slot, or finds who has it. The outcome is certain: an unclear answer is settled by
   * reading the slot back and publishing again until the time given has passed. Throws `log-full`, or
   * `log-unavailable`: it may or may not have been stored. To append the very same event again, with its id, is always
   * safe and settles that; a caller with more patience does so, and can tell of it.
   */
  append(event: FractalEvent, options?: AppendOptions): Promise<Appended>
  /** Everything that happened to one fractal, in the order of the log. */
  history(uuid: string): Promise<RecordedEvent[]>
  /** The fractal's state now. */
  load(uuid: string): Promise<Task>
}

export type Appended = { won: boolean; event: RecordedEvent }

export function createLog(broker: Broker): Log {
  const { names } = broker
  const { append, read, walk, at, head } = openSlots(broker, names.stream, decode)

  /** Requests first: once generation g + 1 is seen, the outcome of g is there for the reads after it. */
  async function history(uuid: string): Promise<RecordedEvent[]> {
    const requests = await walk((g) => names.requested(uuid, g))
    const generation = async (g: number) => {
      const [attempts, outcome] = await Promise.all([
        walk((entry) => names.attempt(uuid, g, entry)),
        read(names.outcome(uuid, g)),
      ])
      return outcome ? [...attempts, outcome] : attempts
    }
    const [generations, removed] = await Promise.all([
      Promise.all(requests.map((_, i) => generation(i + 1))),
      read(names.removed(uuid)),
    ])
    const events = [...requests, ...generations.flat(), ...(removed ? [removed] : [])]
    return events.sort((a, b) => a.seq - b.seq)
  }

  return {
    read,
    at,
    head,
    history,
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
