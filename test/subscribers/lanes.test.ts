import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Waiting } from '../../services/platform/webhook-store.ts'
import { createLanes, type Lanes } from '../../services/subscribers/lanes.ts'

const waiting = (seq: number, uuid = 'a', next = 0): Waiting => ({
  ...{ seq, uuid, before: String(seq - 1), tries: next > 0 ? 1 : 0, since: next > 0 ? 1 : 0, next },
})
const sent = (lanes: Lanes, now = 0) => {
  const all: number[] = []
  for (let one = lanes.next(now); one; one = lanes.next(now)) all.push(one.seq)
  return all
}

test('of each fractal one is on its way, and the next one follows once that is done', () => {
  const lanes = createLanes([waiting(1, 'a'), waiting(2, 'a'), waiting(3, 'b')])
  assert.equal(sent(lanes), [1, 3])
  lanes.done(waiting(1, 'a'))
  assert.equal(sent(lanes), [2])
  assert.is(lanes.size(), 2)
})

test('one that failed waits for its time, with all of its fractal, and holds up no other', () => {
  const lanes = createLanes([waiting(1, 'a'), waiting(2, 'a'), waiting(3, 'b')])
  assert.equal(sent(lanes), [1, 3])
  lanes.again(waiting(1, 'a'), { tries: 1, since: 5, next: 100 })
  lanes.done(waiting(3, 'b'))
  assert.equal(sent(lanes, 99), [])
  assert.is(lanes.due(), 100)
  assert.equal(sent(lanes, 100), [1])
  assert.is(lanes.due(), null)
})

test('all who wait can be hurried', () => {
  const lanes = createLanes([waiting(1, 'a', 500), waiting(2, 'b', 900)])
  lanes.hurry()
  assert.equal(sent(lanes, 1), [1, 2])
})

test('one that comes back takes its place among those of its fractal, behind what is on its way', () => {
  const lanes = createLanes([waiting(5, 'a'), waiting(7, 'a')])
  assert.equal(sent(lanes), [5])
  lanes.add(waiting(2, 'a'))
  lanes.add(waiting(6, 'a'))
  lanes.add(waiting(6, 'a')) // twice
  for (const [done, next] of [
    [5, 2],
    [2, 6],
    [6, 7],
  ] as const) {
    lanes.done(waiting(done, 'a'))
    assert.equal(sent(lanes), [next])
  }
})

/*
 * A log of events of some fractals, an endpoint that refuses as it likes, and a sender that crashes whenever it likes and
 * goes on from whatever it had saved before.
 */
const world = fc.record({
  log: fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 40 }),
  choices: fc.array(fc.nat(99), { minLength: 50, maxLength: 400 }),
})

test('whatever fails and wherever it goes on again, each is sent, and in the order of its fractal', () => {
  fc.assert(
    fc.property(world, ({ log, choices }) => {
      const events = log.map((uuid, i) => waiting(i + 1, uuid))
      const delivered: number[] = []
      let saved = { upTo: 0, waiting: [] as Waiting[] }
      let lanes = createLanes([])
      let [upTo, now] = [0, 1]
      let away: Waiting[] = []
      const step = (choice: number) => {
        now++
        const one = away[choice % Math.max(1, away.length)]
        const take = () => {
          away = away.filter((other) => other !== one)
          return one
        }
        if (choice < 20) {
          const event = events[upTo]
          if (event) lanes.add(event)
          if (event) upTo++
        } else if (choice < 50) {
          const next = lanes.next(now)
          if (next) away.push(next)
        } else if (choice < 75 && one) {
          take()
          delivered.push(one.seq)
          lanes.done(one)
        } else if (choice < 85 && one) {
          take()
          lanes.again(one, { tries: one.tries + 1, since: 1, next: now + (choice % 7) + 1 })
        } else if (choice < 88 && one) {
          delivered.push(one.seq) // it came, and the answer was lost
          take()
          lanes.putBack(one)
        } else if (choice < 94) {
          saved = { upTo, waiting: lanes.waiting() }
        } else if (choice < 98) {
          lanes = createLanes(saved.waiting)
          upTo = saved.upTo
          away = []
        }
        const awayOf = new Set(away.map(({ uuid }) => uuid))
        assert.is(awayOf.size, away.length, 'one of each fractal')
        const heads = new Map<string, Waiting>()
        for (const delivery of lanes.waiting()) if (!heads.has(delivery.uuid)) heads.set(delivery.uuid, delivery)
        const isHeldUp = ({ uuid }: Waiting) => !awayOf.has(uuid) && (heads.get(uuid)?.next ?? 0) > 0
        const fresh = lanes.waiting().filter((one) => one.tries === 0 && !isHeldUp(one))
        assert.is(lanes.fresh(), fresh.length, 'those that could be sent')
      }
      for (const choice of choices) step(choice)
      for (let left = 0; left < 10_000 && (upTo < events.length || lanes.size() > 0); left++)
        step([10, 30, 60][left % 3] ?? 0)
      assert.is(lanes.size(), 0)
      assert.equal(
        [...new Set(delivered)].sort((x, y) => x - y),
        events.map(({ seq }) => seq),
      )
      for (const fractal of new Set(log)) {
        const first = [...new Set(delivered)].filter((seq) => log[seq - 1] === fractal)
        assert.equal(
          first,
          [...first].sort((x, y) => x - y),
          `the events of ${fractal} came in their order`,
        )
      }
    }),
    { numRuns: 500 },
  )
})

test.run()
