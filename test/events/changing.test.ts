import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { fromMessage, type Upcasters } from '../../events/codec.ts'
import { isFaafoError } from '../../events/errors.ts'
import { isExtension, shapeOf } from '../support/shapes.ts'

/*
 * The ways in which an event may change, as docs/changing-events.md tells them, on an invented event: of a picture that
 * was printed. Each is how it was written, how it is written now, and what lies between.
 */

type Printed = { schema: z.ZodObject; version: number; upcasters?: Upcasters<'Printed'> }

/** What a program that knows the event so makes of what was written in that version. */
function read({ schema, version, upcasters = {} }: Printed, written: { version: number; data: object }): unknown {
  const headers: Record<string, string> = {
    ...{ 'ce-id': '1', 'ce-type': 'Printed', 'ce-subject': 'a', 'ce-source': '/press' },
    ...{ 'ce-time': '2026-01-02T03:04:05.000Z', 'ce-schemaversion': String(written.version) },
  }
  const message = { header: (name: string) => headers[name] ?? '', body: JSON.stringify(written.data) }
  const words = { schemas: { Printed: schema }, versions: { Printed: version }, upcasters }
  return fromMessage(message, { seq: 1, storedAt: 0 }, words, () => ({})).data
}

const isRefused = (use: () => unknown) =>
  assert.throws(use, (error: unknown) => isFaafoError(error, 'undecodable-event'))

const before = { schema: z.object({ copies: z.int(), size: z.string() }), version: 1 }
const old = { version: 1, data: { copies: 2, size: '30 x 40' } }
const isSameVersion = (after: Printed) => isExtension(shapeOf(before.schema), shapeOf(after.schema))

test('a field that may be absent is added: the version stays, both programs read both', () => {
  const after = { schema: before.schema.extend({ paper: z.string().optional() }), version: 1 }
  assert.ok(isSameVersion(after))
  assert.equal(read(after, old), { copies: 2, size: '30 x 40' })
  const written = { version: 1, data: { copies: 2, size: '30 x 40', paper: 'matt' } }
  assert.equal(read(after, written), written.data)
  assert.equal(read(before, written), { copies: 2, size: '30 x 40' })
})

test('a field that is always there is added: a new version, and what it was before there was one', () => {
  const after = {
    schema: before.schema.extend({ paper: z.string() }),
    version: 2,
    upcasters: { Printed: { 1: (data: object) => ({ ...data, paper: 'plain' }) } },
  }
  assert.not(isSameVersion(after))
  assert.equal(read(after, old), { copies: 2, size: '30 x 40', paper: 'plain' })
  isRefused(() => read({ ...after, version: 1 }, old))
  isRefused(() => read(before, { version: 2, data: { ...old.data, paper: 'matt' } }))
})

test('a field is renamed: a new version, in which the old name is not known any more', () => {
  const after = {
    schema: z.object({ count: z.int(), size: z.string() }),
    version: 2,
    upcasters: { Printed: { 1: ({ copies, ...data }: Record<string, unknown>) => ({ ...data, count: copies }) } },
  }
  assert.not(isSameVersion(after))
  assert.equal(read(after, old), { count: 2, size: '30 x 40' })
})

test('a field is split: a new version, and the older ones are lifted through all that lie between', () => {
  const paper = (data: object) => ({ ...data, paper: 'plain' })
  const sides = ({ size, ...data }: Record<string, unknown>) => {
    const [width, height] = String(size).split(' x ').map(Number)
    return { ...data, width, height }
  }
  const after = {
    schema: z.object({ copies: z.int(), paper: z.string(), width: z.int(), height: z.int() }),
    version: 3,
    upcasters: { Printed: { 1: paper, 2: sides } },
  }
  assert.not(isSameVersion(after))
  assert.equal(read(after, old), { copies: 2, paper: 'plain', width: 30, height: 40 })
  const second = { version: 2, data: { ...old.data, paper: 'matt' } }
  assert.equal(read(after, second), { copies: 2, paper: 'matt', width: 30, height: 40 })
  const broken = { version: 1, data: { copies: 2, size: 'large' } }
  isRefused(() => read(after, broken))
})

test('a field is described in other words: the version stays, and a field of that name is still one', () => {
  const field = z.object({ a: z.int(), description: z.string() })
  const of = (schema: z.ZodType) =>
    shapeOf(z.object({ inner: schema, list: z.array(schema), named: z.record(z.string(), schema).optional() }))
  const said = field.extend({ a: field.shape.a.meta({ description: 'how many' }) }).meta({ description: 'of each' })
  for (const [one, other] of [
    [of(field), of(said)],
    [of(said), of(field)],
    [of(said), of(said.meta({ description: 'of all' }))],
  ] as const) {
    assert.ok(isExtension(one, other))
    assert.not.equal(one, other)
  }
  assert.not(isExtension(of(field), of(field.omit({ description: true }))))
  assert.not(isExtension(of(said), of(said.extend({ a: z.string().meta({ description: 'how many' }) }))))
})

test('what is no extension: a field less, one that must be there, another type, a narrower range, also further in', () => {
  const shape = (schema: z.ZodType) => shapeOf(z.object({ inner: schema }))
  const one = shape(z.object({ a: z.int(), b: z.string().optional() }))
  assert.ok(isExtension(one, shape(z.object({ a: z.int(), b: z.string().optional(), c: z.int().optional() }))))
  for (const other of [
    z.object({ a: z.int() }),
    z.object({ a: z.int(), b: z.string() }),
    z.object({ a: z.int(), b: z.string().optional(), c: z.int() }),
    z.object({ a: z.number(), b: z.string().optional() }),
    z.object({ a: z.int().min(1), b: z.string().optional() }),
    z.int(),
  ]) {
    assert.not(isExtension(one, shape(other)))
  }
})

test('a schema that refuses or changes values by a function has no shape that would tell, also further in', () => {
  for (const field of [
    z.string().refine((text) => text.startsWith('https')),
    z.string().transform((text) => text.length),
    z.preprocess(String, z.string()),
    z.string().trim(),
    z.string().catch(''),
    z.string().optional().refine(Boolean),
    z.custom(Boolean),
  ]) {
    assert.throws(() => shapeOf(before.schema.extend({ field })))
    assert.throws(() => shapeOf(z.object({ inner: z.array(z.record(z.string(), z.object({ field }))) })))
  }
  assert.throws(() => shapeOf(before.schema.refine(({ copies }) => copies < 10)))
  assert.type(shapeOf(before.schema.extend({ field: z.string().min(1).regex(/^a/) })), 'object')
})

test.run()
