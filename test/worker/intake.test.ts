import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { costOf } from '../../events/fractal.ts'
import { askSize, type Load, MAX_HELD, noLoad, offer, release, stepsOf } from '../../services/worker/intake.ts'

const TENTH_OF_A_SECOND = 1e8
const costs = fc.array(fc.integer({ min: 4, max: 1e12 }), { maxLength: 300 })
const threadCount = fc.integer({ min: 1, max: 200 })

/** Offers all of them to a worker that settles nothing. */
function offerAll(threads: number, all: number[]): { load: Load; taken: number[] } {
  let load = noLoad(threads)
  const taken: number[] = []
  for (const cost of all) {
    const offered = offer(load, cost)
    load = offered.load
    if (offered.taken) taken.push(cost)
  }
  return { load, taken }
}

test('what is held is bounded by number, and by cost once every thread has a task', () => {
  fc.assert(
    fc.property(threadCount, costs, (threads, all) => {
      const { load, taken } = offerAll(threads, all)
      assert.is(load.held, taken.length)
      assert.ok(load.held <= MAX_HELD)
      const beyondOneEach = taken.slice(Math.min(threads, MAX_HELD))
      if (beyondOneEach.length > 0) assert.ok(load.cost <= threads * TENTH_OF_A_SECOND)
    }),
  )
})

test('every thread gets a task, whatever the tasks cost', () => {
  fc.assert(
    fc.property(threadCount, costs, (threads, all) => {
      assert.ok(offerAll(threads, all).load.held >= Math.min(threads, MAX_HELD, all.length))
    }),
  )
})

test('an ask never leads beyond the bound, and an idle thread is never left without one', () => {
  fc.assert(
    fc.property(threadCount, costs, (threads, all) => {
      const { load } = offerAll(threads, all)
      const ask = askSize(load)
      assert.ok(Number.isInteger(ask) && ask >= 0)
      assert.ok(load.held + ask <= MAX_HELD)
      if (load.held < Math.min(threads, MAX_HELD)) assert.ok(ask >= 1)
    }),
  )
})

test('once everything is settled there is no load, and the average stays', () => {
  fc.assert(
    fc.property(threadCount, costs, (threads, all) => {
      const { load, taken } = offerAll(threads, all)
      const empty = taken.reduce(release, load)
      assert.equal(empty, { ...noLoad(threads), averageCost: load.averageCost })
    }),
  )
})

test('among small tasks the asks grow until the worker is full, and then none is worth it until a quarter is free', () => {
  const small = 64 * 64 * 100
  let { load } = offerAll(2, [])
  assert.is(askSize(load), 2)
  for (let n = 0; n < 40; n++) load = release(offer(load, small).load, small)
  assert.is(askSize(load), MAX_HELD)
  for (let n = 0; n < MAX_HELD; n++) load = offer(load, small).load
  assert.is(askSize(load), 0)
  load = release(load, small)
  assert.is(askSize(load), 0)
  for (let n = 1; n < MAX_HELD / 4; n++) load = release(load, small)
  assert.is(askSize(load), MAX_HELD / 4)
})

test('large tasks are taken one for each thread, the rest is left to others', () => {
  const large = 9999 * 9999 * 255
  const { load, taken } = offerAll(2, [large, large, large])
  assert.is(taken.length, 2)
  assert.is(askSize(load), 0)
  assert.is(askSize(release(load, large)), 1)
})

test('the steps of a large picture are those that are expected, of a small one the worst case', () => {
  const far = { width: 1000, height: 1000, iterations: 2, xa: 10, xb: 11, ya: 10, yb: 11, cx: 0, cy: 0 }
  assert.is(stepsOf(far), costOf(far))
  assert.is(stepsOf({ ...far, iterations: 3 }), 1_000_000) // all escape at once
})

test.run()
