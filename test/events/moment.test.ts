import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseTime } from '../../events/moment.ts'

test('a time is what RFC 3339 says, and a day that the calendar has', () => {
  for (const [text, expected] of [
    ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00.000Z'],
    ['2024-02-29T23:59:59.9994+01:00', '2024-02-29T22:59:59.999Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
  ] as const) {
    assert.is(parseTime(text)?.toISOString(), expected)
  }
  for (const text of [
    ...['', 'yesterday', '2026-01-31', '2026-01-31T12:00:00', '2026-1-31T12:00:00Z', '2026-01-31T12:00Z'],
    ...['2026-02-29T00:00:00Z', '2026-04-31T00:00:00Z', '2026-13-01T00:00:00Z', '2026-00-01T00:00:00Z'],
    ...['2026-01-31T24:00:00Z', '2026-01-31T12:60:00Z', '0000-01-01T00:00:00Z', '9999-12-31T23:59:59-01:00'],
  ]) {
    assert.is(parseTime(text), null, text)
  }
})

test.run()
