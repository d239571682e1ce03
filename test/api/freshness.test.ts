import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createFreshness } from '../../services/api/freshness.ts'
import { until } from '../support/until.ts'

test('after the log was replaced by an older copy reads wait for no write that it lacks', async () => {
  let projected = 100
  let head: number | Error = 100
  const asked: number[] = []
  const freshness = createFreshness({
    readSeq: async () => {
      asked.push(projected)
      return projected
    },
    readHead: async () => {
      if (head instanceof Error) {
        const error = head
        head = 40
        throw error
      }
      return head
    },
    mayAdvance: () => true,
  })
  freshness.wrote(100)
  await freshness.settled()
  projected = 40
  head = new Error('the stream is not there yet')
  await freshness.reconnected()
  await freshness.settled()
  assert.equal(asked, [100, 40], 'one look was enough, and it was taken anew')

  const again = freshness.reconnected()
  freshness.wrote(41)
  await again
  projected = 41
  await freshness.settled()
  assert.equal(asked, [100, 40, 41], 'what was written meanwhile is waited for')
})

test('after a mere reconnect a write is waited for as before', async () => {
  let projected = 99
  const freshness = createFreshness({
    readSeq: async () => projected++,
    readHead: async () => 100,
    mayAdvance: () => true,
  })
  freshness.wrote(100)
  await freshness.reconnected()
  await freshness.settled()
  assert.ok(projected > 100)
})

test('a checkpoint that a rebuild has set back is waited for again', async () => {
  let projected = 100
  const freshness = createFreshness({
    readSeq: async () => projected,
    readHead: async () => 100,
    mayAdvance: () => true,
  })
  assert.is(await freshness.reached(50), true)
  projected = 0
  await until(async () => !(await freshness.reached(50)), { what: 'the older checkpoint is believed no more' })
  const waiting = freshness.reached(50)
  projected = 60
  assert.is(await waiting, true)
})

test.run()
