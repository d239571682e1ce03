import type { z } from 'zod'
import { decodeAggregate, encodeAggregate, type Kind } from '../../events/aggregate.ts'
import { decode, encode, type Message, type Position, type ReceivedMessage } from '../../events/codec.ts'
import { dataSchemas, type FractalEvent, schemaVersions } from '../../events/events.ts'
import { importKind } from '../../events/import.ts'
import { operationKind } from '../../events/operation.ts'
import { parkedKind } from '../../events/parked.ts'
import { namesIn } from '../../events/subjects.ts'
import { webhookKind } from '../../events/webhook.ts'

/** The events of one kind of thing, whichever stream they stand in, as tests of all of them see them. */
export type Vocabulary = {
  name: string
  schemas: Readonly<Record<string, z.ZodType>>
  versions: Readonly<Record<string, number>>
  decode(message: ReceivedMessage, position: Position): object
  encode(event: object): Message
  slot(event: object): string
}

const names = namesIn('')

const fractal: Vocabulary = {
  name: 'fractal',
  schemas: dataSchemas,
  versions: schemaVersions,
  decode,
  encode: (event) => encode(event as FractalEvent),
  slot: (event) => names.slot(event as FractalEvent),
}

const aggregateOf = (kind: Kind): Vocabulary => ({
  name: kind.name,
  schemas: kind.schemas,
  versions: kind.schemaVersions,
  decode: (message, position) => decodeAggregate(kind, message, position),
  encode: (event) => encodeAggregate(kind, event as never),
  slot(event) {
    const { aggregate, version } = event as { aggregate: string; version: number }
    return names.aggregate(kind.name, aggregate, version)
  },
})

/** Everything that is stored in either stream. */
export const vocabularies: readonly Vocabulary[] = [
  fractal,
  ...[operationKind, importKind, parkedKind, webhookKind].map(aggregateOf),
]
