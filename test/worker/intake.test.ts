import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { costOf } from '../../events/cost.ts'
import {
  askSize,
  type Load,
  noLoad,
  offer,
  release,
  type Share,
  type Work,
  workOf,
} from '../../services/worker/intake.ts'

const far = { width: 1000, height: 1000, iterations: 2, xa: 10, xb: 11, ya: 10, yb: 11, cx: 0, cy: 0 }
const TENTH_OF_A_SECOND = 1e8
const work = fc.record({ steps: fc.integer({ min: 4, max: 1e12 }), threads: fc.integer({ min: 1, max: 200 }) })
const works = fc.array(work, { maxLength: 300 })
const threadCount = fc.integer({ min: 1, max: 200 })
const mostHeld = (threads: number) => Math.max(64, 2 * threads)

/** Offers all of them to a worker that settles nothing. */
function offerAll(threads: number, all: Work[]): { load: Load; taken: { work: Work; share: Share }[] } {
  let load = noLoad(threads)
  const taken: { work: Work; share: Share }[] = []
  for (const work of all) {
    const { load: next, share } = offer(load, work)
    load = next
    if (share) taken.push({ work, share })
  }
  return { load, taken }
}

test('what is held is bounded by number, and by work once every thread is busy', () => {
  fc.assert(
    fc.property(threadCount, works, (threads, all) => {
      const { load, taken } = offerAll(threads, all)
      assert.is(load.held, taken.length)
      assert.ok(load.held <= mostHeld(threads))
      let busy = 0
      let waiting = 0
      for (const { work } of taken) {
        if (busy < threads) busy += work.threads
        else waiting += work.steps
      }
      assert.ok(waiting <= threads * TENTH_OF_A_SECOND)
    }),
  )
})

test('every thread is kept busy, whatever the tasks are', () => {
  fc.assert(
    fc.property(threadCount, works, (threads, all) => {
      const { load } = offerAll(threads, all)
      assert.ok(load.busy >= threads || load.held === all.length)
    }),
  )
})

test('an ask never leads beyond the bound, and an idle thread is never left without one', () => {
  fc.assert(
    fc.property(threadCount, works, (threads, all) => {
      const { load } = offerAll(threads, all)
      const ask = askSize(load)
      assert.ok(Number.isInteger(ask) && ask >= 0)
      assert.ok(load.held + ask <= mostHeld(threads))
      if (load.busy < threads && load.held < mostHeld(threads)) assert.ok(ask >= 1)
    }),
  )
})

test('once everything is settled there is no load, and the average stays', () => {
  fc.assert(
    fc.property(threadCount, works, (threads, all) => {
      const { load, taken } = offerAll(threads, all)
      const empty = taken.reduce((left, { share }) => release(left, share), load)
      assert.equal(empty, { ...noLoad(threads), averageSteps: load.averageSteps })
    }),
  )
})

test('among small tasks the asks grow until the worker is full, and then none is worth it until a quarter is free', () => {
  const small = { steps: 64 * 64 * 100, threads: 1 }
  let load = noLoad(2)
  assert.is(askSize(load), 3)
  for (let n = 0; n < 40; n++) {
    const { load: loaded, share } = offer(load, small)
    load = release(loaded, share as Share)
  }
  assert.is(askSize(load), 64)
  const shares: Share[] = []
  for (let n = 0; n < 64; n++) {
    const { load: loaded, share } = offer(load, small)
    load = loaded
    shares.push(share as Share)
  }
  assert.is(askSize(load), 0)
  // The youngest first, so that the threads stay busy.
  for (const share of shares.slice(-15)) load = release(load, share)
  assert.is(askSize(load), 0)
  load = release(load, shares[20] as Share)
  assert.is(askSize(load), 16)
})

test('of large tasks one is taken at a time, the rest is left to others', () => {
  const large = workOf({ ...far, width: 9999, height: 9999, xa: -1, xb: 1, ya: -1, yb: 1, iterations: 1000 }, 32)
  assert.is(large.threads, 32)
  const { load, taken } = offerAll(32, [large, large, large])
  assert.is(taken.length, 1)
  assert.is(askSize(load), 0)
  assert.is(askSize(release(load, (taken[0] as { share: Share }).share)), 1)
})

test('beside a large task a worker holds a little to go on with', () => {
  const large = { steps: 1e12, threads: 2 }
  const medium = { steps: 0.9 * 2 * TENTH_OF_A_SECOND, threads: 2 }
  assert.equal(
    offerAll(2, [large, medium, medium]).taken.map(({ work }) => work),
    [large, medium],
  )
})

test('a small picture keeps one thread busy, a larger one as many as it has bands', () => {
  assert.is(workOf(far, 8).threads, 8)
  assert.is(workOf({ ...far, width: 256, height: 256 }, 8).threads, 1)
  assert.is(workOf({ ...far, width: 512, height: 512, iterations: 1000 }, 8).threads, 4)
})

test('the steps of a large picture are those that are expected, of a small one the worst case', () => {
  assert.is(workOf(far, 1).steps, costOf(far))
  assert.is(workOf({ ...far, iterations: 3 }, 1).steps, 1_000_000) // all escape at once
})

test.run()
