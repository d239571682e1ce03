import fc from 'fast-check'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeAggregate, encodeAggregate } from '../../events/aggregate.ts'
import { FaafoError } from '../../events/errors.ts'
import { counter, raised } from '../support/counter.ts'

/** A message as the broker's client hands it out: an absent header reads as ''. */
const received = ({ headers, body }: ReturnType<typeof encodeAggregate>) => ({
  header: (name: string) => headers[name] ?? '',
  body,
})

test('what was encoded is decoded to the same', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.integer({ min: 1 }), fc.integer(), fc.nat(), (id, version, by, seq) => {
      const event = raised(id, version, by)
      const decoded = decodeAggregate(counter, received(encodeAggregate(counter, event)), { seq, storedAt: 5 })
      assert.equal(decoded, { ...event, seq, recordedAt: 5 })
    }),
  )
})

test('a message that is no event of its kind is refused, and one of an older version is lifted', () => {
  const { headers, body } = encodeAggregate(counter, raised(v4(), 3))
  const decoded = (changed: Record<string, string>, text = body) =>
    decodeAggregate(counter, received({ headers: { ...headers, ...changed }, body: text }), { seq: 7, storedAt: 0 })
  assert.equal(decoded({ 'ce-schemaversion': '1' }, '{}').data, { by: 1 })
  for (const [changed, reason] of [
    [{ 'ce-type': 'CounterEaten' }, /unknown to this version/],
    [{ 'ce-schemaversion': '3' }, /newer than the version 2/],
    [{ 'ce-version': '' }, /ce-version is no counting number/],
    [{ 'ce-version': '1.5' }, /ce-version is no counting number/],
  ] as const) {
    assert.throws(
      () => decoded(changed),
      (error: unknown) =>
        error instanceof FaafoError && error.code === 'undecodable-event' && reason.test(error.message),
    )
  }
})

test.run()
