import type { z } from 'zod'
import { fromMessage, type Message, type Position, type ReceivedMessage, toMessage, type Upcasters } from './codec.ts'
import { FaafoError } from './errors.ts'
import type { Envelope } from './events.ts'
import type { KindName } from './subjects.ts'

/*
 * Everything that is not a fractal and has a history of its own: an aggregate, of some kind. Each event is its next
 * version, from 1 without gaps, and stands in the slot `faafo.<kind>.<id>.<version>` of the second stream. Whoever
 * loses a slot has decided from a state that is over, and decides again.
 *
 * A message is that of a fractal's event (codec.ts) with one attribute more: `ce-version`.
 */

type Schemas = Readonly<Record<string, z.ZodType>>

/** A kind of aggregate, with the data of each type of its events. */
export type Kind<S extends Schemas = Schemas> = {
  name: KindName
  schemas: S
  /** Version of each type's data as written today. */
  schemaVersions: Readonly<Record<keyof S & string, number>>
  upcasters: Upcasters<keyof S & string>
}

/** What a decision yields: the aggregate of id `aggregate` came to its version `version`. */
export type NewAggregateEvent<K extends Kind> = {
  [T in keyof K['schemas'] & string]: {
    type: T
    aggregate: string
    version: number
    data: z.output<K['schemas'][T]>
  }
}[keyof K['schemas'] & string]

export type AggregateEvent<K extends Kind> = NewAggregateEvent<K> & Envelope

/** An event as it stands in the stream: its sequence there, and when it came (Unix milliseconds, the broker's clock). */
export type RecordedAggregateEvent<K extends Kind> = AggregateEvent<K> & { seq: number; recordedAt: number }

export function encodeAggregate<K extends Kind>(kind: K, event: AggregateEvent<K>): Message {
  const { headers, body } = toMessage(event, event.aggregate, kind.schemaVersions[event.type] ?? 1)
  return { headers: { ...headers, 'ce-version': String(event.version) }, body }
}

/** Throws `undecodable-event`, naming the sequence, for what is no event of this kind. */
export function decodeAggregate<K extends Kind>(
  kind: K,
  message: ReceivedMessage,
  position: Position,
): RecordedAggregateEvent<K> {
  const { schemas, schemaVersions: versions, upcasters } = kind
  const event = fromMessage(message, position, { schemas, versions, upcasters }, (aggregate) => ({ aggregate }))
  const version = Number(message.header('ce-version'))
  if (!Number.isInteger(version) || version < 1) {
    throw new FaafoError('undecodable-event', `cannot read event ${position.seq}: its ce-version is no counting number`)
  }
  return { ...event, version } as RecordedAggregateEvent<K>
}
