import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRetryAfter, pauseAfter, usualSchedule, verdictOn } from '../../services/subscribers/schedule.ts'

const HOUR = 3_600_000
const schedule = usualSchedule
const now = Date.parse('2026-11-23T10:00:00Z')

test('pauses grow from seconds to hours, and chance takes from all of them', () => {
  const longest = Array.from({ length: 20 }, (_, i) => pauseAfter(i + 1, schedule, 1 - 2 ** -52))
  assert.equal(longest.slice(0, 4), [2_000, 4_000, 8_000, 16_000])
  assert.is(longest.at(-1), 4 * HOUR)
  assert.is(pauseAfter(10, schedule, 0), 200)
  assert.is(pauseAfter(10, schedule, 0.5), 512_000)
  assert.is(pauseAfter(5_000, schedule, 0.5), 2 * HOUR)
})

test('Retry-After is seconds or a date, and at most a day', () => {
  assert.is(parseRetryAfter('120', now), 120_000)
  assert.is(parseRetryAfter('Mon, 23 Nov 2026 10:02:00 GMT', now), 120_000)
  assert.is(parseRetryAfter('Mon, 23 Nov 2026 09:00:00 GMT', now), 0)
  assert.is(parseRetryAfter('99999999', now), 24 * HOUR)
  assert.is(parseRetryAfter('soon', now), null)
  assert.is(parseRetryAfter(undefined, now), null)
})

const judge = (tries: number, since: number, failingSince: number, retryAfterMs: number | null = null) =>
  verdictOn({ tries, since }, { at: now, retryAfterMs }, { failingSince, now, random: 0.5, schedule })

test('a delivery is tried for a day at least, and then parked', () => {
  assert.equal(judge(0, 0, now), { type: 'again', trial: { tries: 1, since: now, next: now + 1_000 } })
  assert.is(judge(30, now - 24 * HOUR + 1, now - HOUR).type, 'again')
  assert.equal(judge(30, now - 24 * HOUR, now - HOUR), { type: 'park' })
})

test('where nothing succeeds for a day, it is the webhook that is paused', () => {
  assert.equal(judge(3, now - HOUR, now - 24 * HOUR), { type: 'pause' })
  assert.equal(judge(30, now - 24 * HOUR, now - 24 * HOUR), { type: 'pause' })
})

test('it is not tried before the time that was asked for', () => {
  assert.equal(judge(0, 0, now, 60_000), { type: 'again', trial: { tries: 1, since: now, next: now + 60_000 } })
  assert.equal(judge(0, 0, now, 1), { type: 'again', trial: { tries: 1, since: now, next: now + 1_000 } })
})

test.run()
