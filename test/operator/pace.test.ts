import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createPace } from '../../services/operator/pace.ts'

const never = new AbortController().signal

test('without a rate it is always one’s turn', async () => {
  const pace = createPace(null)
  for (let i = 0; i < 1_000; i++) assert.ok(await pace(never))
})

test('however many wait, there are never more turns than the rate allows, and a tenth of a second is made up for', async () => {
  for (const rate of [20, 400]) {
    const pace = createPace(rate)
    const startedAt = Date.now()
    let turns = 0
    const lane = async () => {
      for (let i = 0; i < 5; i++) {
        assert.ok(await pace(never))
        turns++
        const most = 1 + rate * ((Date.now() - startedAt) / 1000 + 0.1)
        assert.ok(turns <= most, `${turns} turns, ${most} at most`)
      }
    }
    await Promise.all(Array.from({ length: 4 }, lane))
    assert.is(turns, 20)
  }
})

test('who stops waiting has had no turn, and takes none from others', async () => {
  const pace = createPace(0.001)
  assert.ok(await pace(never))
  for (let i = 0; i < 3; i++) assert.not.ok(await pace(AbortSignal.timeout(5)))
  const soon = createPace(10)
  assert.ok(await soon(never))
  const startedAt = Date.now()
  await Promise.all(Array.from({ length: 50 }, () => soon(AbortSignal.abort())))
  assert.ok(await soon(never))
  assert.ok(Date.now() - startedAt < 5_000, 'the fifty would have taken five seconds')
})

test.run()
