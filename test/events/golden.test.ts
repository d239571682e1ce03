import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type AggregateEvent, decodeAggregate, encodeAggregate } from '../../events/aggregate.ts'
import { decode, encode } from '../../events/codec.ts'
import { dataSchemas, type FractalEvent, schemaVersions } from '../../events/events.ts'
import { type OperationKind, operationKind } from '../../events/operation.ts'
import { namesIn } from '../../events/subjects.ts'

/*
 * Messages as they were once written, one of each type with every field, and the events that they are. They are never
 * changed: a new version of an event gets messages of its own, and the old ones must go on being read, upcast.
 */
type Golden<E = FractalEvent> = { subject: string; headers: Record<string, string>; body: string; event: E }

const readGolden = (name: string) => JSON.parse(readFileSync(new URL(`../golden/${name}`, import.meta.url), 'utf8'))
const goldens: Golden[] = readGolden('events-v1.json')
const operations: Golden<AggregateEvent<OperationKind>>[] = readGolden('operations-v1.json')

test('there is a golden message of every type, in today’s version', () => {
  assert.equal(goldens.map(({ event }) => event.type).sort(), Object.keys(dataSchemas).sort())
  for (const { event, headers } of goldens) assert.is(headers['ce-schemaversion'], String(schemaVersions[event.type]))
})

for (const { subject, headers, body, event } of goldens) {
  test(`${event.type} version ${headers['ce-schemaversion']} is read as it was meant`, () => {
    const position = { seq: 7, storedAt: Date.parse('2026-11-22T10:00:09.000Z') }
    const { storedAt } = position
    const times = event.recordedtime
      ? { recordedAt: Date.parse(event.recordedtime), storedAt }
      : { recordedAt: storedAt }
    const read = decode({ header: (name) => headers[name] ?? '', body }, position)
    assert.equal(read, { ...event, seq: 7, ...times })
  })

  test(`${event.type} is written byte for byte as before, into the same slot`, () => {
    assert.equal(encode(event), { headers, body })
    assert.is(namesIn('').slot(event), subject)
  })
}

test('there is a golden message of every type of an operation, in today’s version', () => {
  assert.equal(operations.map(({ event }) => event.type).sort(), Object.keys(operationKind.schemas).sort())
  for (const { event, headers } of operations) {
    assert.is(headers['ce-schemaversion'], String(operationKind.schemaVersions[event.type]))
  }
})

for (const { subject, headers, body, event } of operations) {
  test(`${event.type} version ${headers['ce-schemaversion']} is read and written as before`, () => {
    const position = { seq: 7, storedAt: Date.parse('2026-11-23T10:00:09.000Z') }
    const read = decodeAggregate(operationKind, { header: (name) => headers[name] ?? '', body }, position)
    assert.equal(read, { ...event, seq: 7, recordedAt: position.storedAt })
    assert.equal(encodeAggregate(operationKind, event), { headers, body })
    assert.is(namesIn('').aggregate('operation', event.aggregate, event.version), subject)
  })
}

test.run()
