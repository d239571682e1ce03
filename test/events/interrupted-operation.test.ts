import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NewEvent, RecordedEvent } from '../../events/events.ts'
import {
  type Action,
  actions,
  decide,
  fold,
  isOver,
  nothingYet,
  type Operation,
  type OperationEvent,
  verdictOn,
} from '../../events/operation.ts'
import { decide as decideTask, fold as foldTask } from '../../events/task.ts'
import { completed, recordedAs } from '../support/legal-history.ts'
import { advance, asked, cancelled, cause, failed, id, ofFractal, recorded, taskRequested } from './operation-events.ts'

/*
 * Operations with executors that die after any append: each picks up from the first and the newest version, and
 * meanwhile workers and users go on. An executor here is services/operator without its shell.
 */

type World = { fractals: Map<string, RecordedEvent[]>; versions: OperationEvent[] }

const add = (world: World, event: NewEvent, causationid?: string) => {
  const events = world.fractals.get(event.fractal) ?? []
  world.fractals.set(event.fractal, [
    ...events,
    { ...recordedAs(event, events.length + 1), ...(causationid && { causationid }) },
  ])
}

class Death extends Error {}

/** Runs until the operation is over; every append costs one of `lives[0]`, and each that runs out is the end of an executor. */
function run(
  world: World,
  action: Action,
  batchSize: number,
  lives: number[],
  meanwhile: (world: World) => void,
): Operation {
  const order = [...world.fractals.keys()]
  world.versions.push(recorded({ type: 'OperationRequested', aggregate: id, version: 1, data: { ...asked, action } }))
  for (const life of [...lives, Number.POSITIVE_INFINITY]) {
    let left = life
    const live = () => {
      if (left-- <= 0) throw new Death()
      meanwhile(world)
    }
    try {
      for (;;) {
        const operation = fold([world.versions[0], world.versions.at(-1)].filter((e) => e !== undefined)) as Operation
        if (isOver(operation)) return operation
        const counts = { ...nothingYet }
        for (const fractal of operation.batch) {
          const verdict = verdictOn(operation, fractal, world.fractals.get(fractal) ?? [])
          for (const event of verdict.type === 'change' ? verdict.events : []) {
            live()
            add(world, event, operation.cause)
          }
          counts[verdict.type === 'leave' ? 'unchanged' : 'changed']++
        }
        live()
        const from = operation.last === null ? 0 : order.indexOf(operation.last) + 1
        const command = advance(counts, [], order.slice(from, from + batchSize), order.length)
        for (const event of decide(command, id, operation)) world.versions.push(recorded(event))
      }
    } catch (error) {
      if (!(error instanceof Death)) throw error
    }
  }
  throw new Error('it never ended')
}

const beginnings: ((fractal: string) => NewEvent[])[] = [
  (f) => [taskRequested(1, f)],
  (f) => [taskRequested(1, f), failed(1, f)],
  (f) => [taskRequested(1, f), cancelled(1, f)],
  (f) => [taskRequested(1, f), ofFractal(completed(1), f)],
]
const worldOf = (kinds: number[]): World => {
  const world: World = { fractals: new Map(), versions: [] }
  kinds.forEach((kind, i) => {
    const uuid = `00000000-0000-4000-9000-${String(i).padStart(12, '0')}`
    for (const event of beginnings[kind]?.(uuid) ?? []) add(world, event)
  })
  return world
}
const plan = fc.record({
  action: fc.constantFrom(...actions),
  kinds: fc.array(fc.nat(3), { maxLength: 12 }),
  batchSize: fc.integer({ min: 1, max: 5 }),
  lives: fc.array(fc.nat(7), { maxLength: 12 }),
})
const changedBy = (world: World, action: Action) => {
  const last = { cancel: 'TaskCancelled', retry: 'TaskRequested', delete: 'TaskDeleted' }[action]
  return [...world.fractals.values()].map(
    (events) => events.filter((event) => event.causationid === cause && event.type === last).length,
  )
}

test('an operation that is interrupted anywhere, any number of times, leads to the same', () => {
  fc.assert(
    fc.property(plan, ({ action, kinds, batchSize, lives }) => {
      const [quiet, broken] = [worldOf(kinds), worldOf(kinds)]
      const expected = run(quiet, action, batchSize, [], () => {})
      const found = run(broken, action, batchSize, lives, () => {})
      assert.equal([found.counts, found.status], [expected.counts, expected.status])
      assert.equal(broken.fractals, quiet.fractals)
    }),
  )
})

test('with others at work meanwhile each fractal is still changed at most once, and counted once', () => {
  fc.assert(
    fc.property(
      plan,
      fc.array(fc.tuple(fc.nat(11), fc.constantFrom('fail', 'retry', 'cancel')), { maxLength: 40 }),
      ({ action, kinds, batchSize, lives }, others) => {
        const world = worldOf(kinds)
        const queue = [...others]
        const operation = run(world, action, batchSize, lives, () => {
          const [index, what] = queue.shift() ?? []
          const [uuid, events] = [...world.fractals][index ?? -1] ?? []
          if (!uuid || !events) return
          const task = foldTask(events)
          if (what === 'fail' && (task.status === 'requested' || task.status === 'rendering')) {
            return add(world, failed(task.generation, uuid))
          }
          try {
            const command =
              what === 'retry'
                ? ({ type: 'retry', fractal: uuid, imageLost: false, pixelChecksum: null } as const)
                : ({ type: 'cancel', fractal: uuid, reason: 'somebody else' } as const)
            if (what !== 'fail') for (const event of decideTask(command, task)) add(world, event)
          } catch {
            // its state does not allow it
          }
        })
        const changes = changedBy(world, action)
        assert.ok(changes.every((n) => n <= 1))
        assert.is(operation.counts.changed + operation.counts.unchanged, kinds.length)
        assert.is(operation.counts.changed, changes.filter((n) => n === 1).length)
      },
    ),
  )
})

test.run()
