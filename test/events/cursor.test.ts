import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cursorOf, idPrefixOf, parseCursor } from '../../events/cursor.ts'
import { isFaafoError } from '../../events/errors.ts'

test('a cursor is the sequence and the first 8 hex digits of the event id', () => {
  assert.is(cursorOf({ seq: 42, id: '1F2E3D4C-0000-4000-8000-000000000000' }), '42-1f2e3d4c')
})

test('parsing gives back what a cursor was made of', () => {
  fc.assert(
    fc.property(fc.nat({ max: 999_999_999_999_999 }), fc.uuid(), (seq, id) => {
      assert.equal(parseCursor(cursorOf({ seq, id })), { seq, idPrefix: idPrefixOf(id) })
    }),
  )
})

test('a bare sequence is a cursor that no event id is checked for', () => {
  assert.equal(parseCursor('42'), { seq: 42, idPrefix: null })
  assert.equal(parseCursor('0'), { seq: 0, idPrefix: null })
})

test('upper-case digits mean the same', () => {
  assert.equal(parseCursor('7-ABCDEF01'), { seq: 7, idPrefix: 'abcdef01' })
})

test('anything else is refused as an invalid request', () => {
  for (const text of ['', '-1', '1.5', '42-', '42-1f2e', '42-1f2e3d4c5', 'x', '42 ', '1e3', '1'.repeat(16)]) {
    assert.throws(
      () => parseCursor(text),
      (error: unknown) => isFaafoError(error, 'invalid-request'),
      text,
    )
  }
})

test('whatever text comes in, it is a cursor or an invalid request', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        assert.ok(Number.isSafeInteger(parseCursor(text).seq))
      } catch (error) {
        assert.ok(isFaafoError(error, 'invalid-request'))
      }
    }),
  )
})

test.run()
