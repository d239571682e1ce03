import { z } from 'zod'
import type { Kind, NewAggregateEvent, RecordedAggregateEvent } from './aggregate.ts'
import { cursorOf, cursorPattern } from './cursor.ts'
import { FaafoError } from './errors.ts'

/*
 * An event of the log that a program could not read or store, and what an operator decided about it: an aggregate of the
 * second stream, named by the event's cursor. Without it nobody goes on past such an event.
 *
 *   none ──EventParked──▶ parked ──EventDropped──▶ dropped, for good
 *                          │  ▲
 *                          └──┴──EventRetryFailed
 *
 * Parked: whoever cannot read it holds the later events of that fractal back; whoever can, applies it. Dropped: it
 * counts for nothing, whoever reads the log.
 */

const error = z.string()
/** Of the program that could not handle it. */
const program = z.string()

export const parkedKind = {
  name: 'parked',
  schemas: {
    EventParked: z.object({
      /** What the event says that it is about; where it says nothing, its slot. Seldom, but possibly, no uuid. */
      fractal: z.string(),
      eventType: z.string(),
      schemaVersion: z.string(),
      error,
      program,
    }),
    EventRetryFailed: z.object({ error, program }),
    EventDropped: z.object({}),
  },
  schemaVersions: { EventParked: 1, EventRetryFailed: 1, EventDropped: 1 },
  upcasters: {},
} satisfies Kind

export type ParkedKind = typeof parkedKind
type EventData = { [T in keyof ParkedKind['schemas']]: z.output<ParkedKind['schemas'][T]> }
export type ParkedRecord = RecordedAggregateEvent<ParkedKind>

export type ParkedData = EventData['EventParked']

/** What is known of an event that was parked; `error` and `program` are of the last try. */
export type Parked = ParkedData & {
  status: 'parked' | 'dropped'
  id: string
  tries: number
  /** Unix milliseconds by the broker's clock. */
  since: number
  version: number
}

/** The name of its aggregate: its cursor, a bare sequence where its id is none of ours. */
export function parkedIdOf(event: { seq: number; id: string }): string {
  const cursor = cursorOf(event)
  return cursorPattern.test(cursor) ? cursor : String(event.seq)
}

/** null where nothing was decided. */
export const foldParked = (records: readonly ParkedRecord[]): Parked | null =>
  records.reduce<Parked | null>(evolveParked, null)

function evolveParked(parked: Parked | null, record: ParkedRecord): Parked | null {
  const { aggregate: id, version, recordedAt: since } = record
  if (record.type === 'EventParked') return { ...record.data, status: 'parked', id, tries: 1, since, version }
  if (!parked) return null
  if (record.type === 'EventDropped') return { ...parked, status: 'dropped', version }
  return { ...parked, ...record.data, tries: parked.tries + 1, version }
}

export type ParkCommand =
  | { type: 'park'; id: string; data: ParkedData }
  | { type: 'retry-failed'; id: string; data: EventData['EventRetryFailed'] }
  | { type: 'drop'; id: string }

/** null: there is nothing to do, it is so already. Throws `not-found` for an event that is not parked. */
export function decideParked(command: ParkCommand, parked: Parked | null): NewAggregateEvent<ParkedKind> | null {
  const { type, id: aggregate } = command
  if (type === 'park') return parked ? null : { type: 'EventParked', aggregate, version: 1, data: command.data }
  if (!parked) throw new FaafoError('not-found', `cannot ${type} event '${aggregate}': it is not parked`)
  if (parked.status === 'dropped') return null
  const version = parked.version + 1
  return type === 'drop'
    ? { type: 'EventDropped', aggregate, version, data: {} }
    : { type: 'EventRetryFailed', aggregate, version, data: command.data }
}
