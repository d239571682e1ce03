import {
  type AggregateEvent,
  decodeAggregate,
  encodeAggregate,
  type Kind,
  type RecordedAggregateEvent,
} from '../../events/aggregate.ts'
import type { Broker } from './broker.ts'
import { type AppendOptions, openSlots, walk } from './slots.ts'

/**
 * The histories of all aggregates of one kind, read from the leader of the second stream.
 * Every method throws `log-unavailable` when the broker does not answer in time.
 */
export type Aggregates<K extends Kind> = {
  /**
   * Puts the event in as the version that it says, the one before having been read or appended before. Where that
   * version is taken already, `won` is false and `event` is what stands there. As certain, and as safe to repeat with
   * the same id, as an append to the log. Throws `log-full`, or `log-unavailable`: it may or may not have been stored.
   */
  append(event: AggregateEvent<K>, options?: AppendOptions): Promise<{ won: boolean; event: RecordedAggregateEvent<K> }>
  /** null where the aggregate has not come so far. */
  read(id: string, version: number): Promise<RecordedAggregateEvent<K> | null>
  /** The newest version, null where there is none; 2 log₂ n reads. */
  newest(id: string): Promise<RecordedAggregateEvent<K> | null>
  /** Every version, oldest first. */
  history(id: string): Promise<RecordedAggregateEvent<K>[]>
  /** The newest version of each aggregate there is, by its id; empty where the broker has no such stream. */
  versions(): Promise<ReadonlyMap<string, number>>
}

export function aggregatesOf<K extends Kind>(broker: Broker, kind: K): Aggregates<K> {
  const { names } = broker
  const slots = openSlots(broker, names.aggregateStream, (message, position) =>
    decodeAggregate(kind, message, position),
  )
  const read = (id: string, version: number) => slots.read(names.aggregate(kind.name, id, version))

  return {
    read,
    history: (id) => walk((version) => read(id, version)),
    async versions() {
      const versions = new Map<string, number>()
      for (const subject of await slots.subjects(names.aggregate(kind.name, '*', '*'))) {
        const [id = '', version] = subject.split('.').slice(-2)
        versions.set(id, Math.max(versions.get(id) ?? 0, Number(version)))
      }
      return versions
    },
    async newest(id) {
      let newest: RecordedAggregateEvent<K> | null = null
      let missing = 1
      for (; ; missing *= 2) {
        const event = await read(id, missing)
        if (!event) break
        newest = event
      }
      while (newest && newest.version + 1 < missing) {
        const middle = Math.floor((newest.version + missing) / 2)
        const event: RecordedAggregateEvent<K> | null = await read(id, middle)
        if (event) newest = event
        else missing = middle
      }
      return newest
    },
    async append(event, options) {
      const { id, aggregate, version } = event
      const entry = {
        subject: names.aggregate(kind.name, aggregate, version),
        id,
        message: encodeAggregate(kind, event),
        what: `${event.type} of ${kind.name} '${aggregate}'`,
        details: { uuid: aggregate },
      }
      const done = await slots.append(entry, options)
      if ('holder' in done) return { won: done.holder.id === id, event: done.holder }
      return { won: true, event: { ...event, seq: done.seq, recordedAt: Date.parse(event.time) } }
    },
  }
}
