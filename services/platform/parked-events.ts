import { FaafoError, isFaafoError } from '../../events/errors.ts'
import {
  decideParked,
  foldParked,
  type ParkCommand,
  type Parked,
  type ParkedData,
  type ParkedKind,
  parkedIdOf,
  parkedKind,
} from '../../events/parked.ts'
import type { Names } from '../../events/subjects.ts'
import { type Aggregates, aggregatesOf } from './aggregates.ts'
import type { Broker } from './broker.ts'
import { identify, VERSION } from './identity.ts'
import type { StoredMessage } from './slots.ts'

/** What operators decided about events of the log that could not be handled. */
export type ParkedEvents = Aggregates<ParkedKind>

export const parkedEvents = (broker: Broker): ParkedEvents => aggregatesOf(broker, parkedKind)

/** null where nothing was decided about that event. Throws `log-unavailable`. */
export const loadParked = async (parked: ParkedEvents, event: { seq: number; id: string }): Promise<Parked | null> =>
  foldParked(await parked.history(parkedIdOf(event)))

/** Whether the event that cannot be read, as the error says, counts for nothing. Throws `log-unavailable`. */
export async function isDropped(parked: ParkedEvents, error: unknown): Promise<boolean> {
  if (!isFaafoError(error, 'undecodable-event')) return false
  const { seq, eventId } = error.details
  const newest = await parked.newest(parkedIdOf({ seq: Number(seq), id: String(eventId ?? '') }))
  return newest?.type === 'EventDropped'
}

/** Ids (`parkedIdOf`) of the events that count for nothing. Throws `log-unavailable`. */
export async function droppedEvents(broker: Broker): Promise<ReadonlySet<string>> {
  const parked = parkedEvents(broker)
  const known = typesOf.get(broker) ?? new Map<string, string>()
  typesOf.set(broker, known)
  const dropped = await Promise.all(
    [...(await parked.versions())].map(async ([id, version]) => {
      if (version === 1) return [] // it is parked first
      const slot = `${id}.${version}`
      const type = known.get(slot) ?? (await parked.read(id, version))?.type
      if (type) known.set(slot, type)
      return type === 'EventDropped' ? [id] : []
    }),
  )
  return new Set(dropped.flat())
}

/** Of the newest versions that were read: what stands in a slot does not change. */
const typesOf = new WeakMap<Broker, Map<string, string>>()

/** An event that this program could not handle, as it is parked: what it is about is told by its own headers, else by its slot. */
export const parkedDataOf = (message: StoredMessage, names: Names, error: string): ParkedData => ({
  fractal: message.header('ce-subject') || names.fractalOf(message.subject),
  eventType: message.header('ce-type'),
  schemaVersion: message.header('ce-schemaversion'),
  error,
  program: VERSION,
})

/** How long an append may take: the commands that make them repeat nothing. */
const APPEND_MS = 5_000
const TRIES = 5

/**
 * Carries the command out, where it is not so already, and resolves to the state that it led to. Safe to repeat. Throws
 * what `decideParked` throws, `log-full` and `log-unavailable`.
 */
export async function decideOn(parked: ParkedEvents, command: ParkCommand, source: string): Promise<Parked> {
  for (let tries = 0; tries < TRIES; tries++) {
    const records = await parked.history(command.id)
    const before = foldParked(records)
    const decided = decideParked(command, before)
    if (!decided && before) return before
    if (!decided) continue
    const { won, event } = await parked.append(identify(decided, source), { withinMs: APPEND_MS })
    const after = won && foldParked([...records, event])
    if (after) return after
  }
  throw new FaafoError('log-unavailable', `cannot ${command.type} event '${command.id}': others kept changing it`)
}
