import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ErrorCode, FaafoError } from '../../events/errors.ts'
import type { NewEvent, RecordedEvent } from '../../events/events.ts'
import {
  type Action,
  actions,
  type Counts,
  decide,
  evolve,
  fold,
  isOver,
  type NewOperationEvent,
  nothingYet,
  type Operation,
  type OperationCommand,
  type OperationEvent,
  verdictOn,
} from '../../events/operation.ts'
import { decide as decideTask, fold as foldTask } from '../../events/task.ts'
import { completed, params, recordedAs, sha256, startTime } from '../support/legal-history.ts'

const id = '7c9e6679-7425-40de-944b-e07fc1f90ae7'
const [a, b, c] = ['a', 'b', 'c'].map((letter) => `${letter.repeat(8)}-0000-4000-8000-000000000000`) as [
  string,
  string,
  string,
]
const filters = [{ name: 'status', op: '==', val: 'failed' }]
const asked = { action: 'cancel' as Action, filters, rate: null, upTo: { fractal: a, event: b } }
const request: OperationCommand = { type: 'request', ...asked }
const done = (changed: number, unchanged = 0): Counts => ({ changed, unchanged, unreadable: 0 })

const requested: NewOperationEvent = { type: 'OperationRequested', aggregate: id, version: 1, data: asked }
const progressed = (version: number, counts: Counts, batch: string[], last: string | null): NewOperationEvent => ({
  type: 'OperationProgressed',
  aggregate: id,
  version,
  data: { matched: 3, counts, batch, last },
})
const stopRequested = (version: number, counts: Counts, batch: string[], last: string | null): NewOperationEvent => ({
  type: 'OperationStopRequested',
  aggregate: id,
  version,
  data: { matched: 3, counts, batch, last },
})
const ended = (
  version: number,
  outcome: 'completed' | 'cancelled' | 'failed',
  counts: Counts,
  last: string | null,
  reason: string | null = null,
): NewOperationEvent => ({
  type: 'OperationEnded',
  aggregate: id,
  version,
  data: { matched: 3, counts, batch: [], last, outcome, reason },
})

const recorded = (event: NewOperationEvent): OperationEvent => {
  const recordedAt = startTime + event.version * 1000
  const time = new Date(recordedAt - 1).toISOString()
  const eventId = `00000000-0000-4000-8000-${String(event.version).padStart(12, '0')}`
  return { ...event, id: eventId, source: '/test', time, seq: event.version, recordedAt }
}
const after = (...events: NewOperationEvent[]) => fold(events.map(recorded))

const advance = (done: Counts, rest: string[], next: string[], matched: number | null = 3): OperationCommand => ({
  ...{ type: 'advance', matched, done, rest, next },
})
const running = [requested, progressed(2, nothingYet, [a, b], b)]
const stopping = [...running, stopRequested(3, nothingYet, [a, b], b)]
const over = [...running, ended(3, 'completed', done(2), b)]

const decisions: {
  name: string
  given: NewOperationEvent[]
  when: OperationCommand
  expected: NewOperationEvent[] | ErrorCode
}[] = [
  { name: 'an operation is recorded', given: [], when: request, expected: [requested] },
  { name: 'the same one again changes nothing', given: running, when: request, expected: [] },
  {
    name: 'that the log has grown makes no other operation',
    given: running,
    when: { ...request, upTo: { fractal: b, event: c } },
    expected: [],
  },
  ...[{ action: 'delete' as const }, { filters: [] }, { rate: 5 }].map((other) => ({
    name: `another ${Object.keys(other)} makes another operation`,
    given: running,
    when: { ...request, ...other },
    expected: 'already-exists' as const,
  })),
  {
    name: 'the first batch is named before anything is done',
    given: [requested],
    when: advance(nothingYet, [], [a, b]),
    expected: [progressed(2, nothingYet, [a, b], b)],
  },
  {
    name: 'what was done is added up, and what was not stays in hand',
    given: running,
    when: advance(done(1), [b], [c]),
    expected: [progressed(3, done(1), [b, c], c)],
  },
  {
    name: 'the furthest that was named is kept where nothing new is',
    given: running,
    when: advance(done(0, 1), [a], []),
    expected: [progressed(3, done(0, 1), [a], b)],
  },
  {
    name: 'it is completed where nothing is left',
    given: running,
    when: advance(done(2), [], []),
    expected: [ended(3, 'completed', done(2), b)],
  },
  {
    name: 'it is completed at once where nothing matches',
    given: [requested],
    when: advance(nothingYet, [], [], 3),
    expected: [ended(2, 'completed', nothingYet, null)],
  },
  {
    name: 'it can be stopped',
    given: running,
    when: { type: 'stop' },
    expected: [stopRequested(3, nothingYet, [a, b], b)],
  },
  { name: 'stopping again changes nothing', given: stopping, when: { type: 'stop' }, expected: [] },
  {
    name: 'one that is to stop begins nothing more',
    given: stopping,
    when: advance(done(1), [], [c]),
    expected: [ended(4, 'cancelled', done(1), b)],
  },
  {
    name: 'stopping what was stopped changes nothing',
    given: [...stopping, ended(4, 'cancelled', done(1), b)],
    when: { type: 'stop' },
    expected: [],
  },
  {
    name: 'one that is completed cannot be stopped',
    given: over,
    when: { type: 'stop' },
    expected: 'illegal-transition',
  },
  { name: 'one that is over does not go on', given: over, when: advance(done(1), [], [c]), expected: [] },
  {
    name: 'it fails with its reason',
    given: running,
    when: { type: 'fail', reason: 'no' },
    expected: [ended(3, 'failed', nothingYet, b, 'no')],
  },
  { name: 'one that is over does not fail', given: over, when: { type: 'fail', reason: 'no' }, expected: [] },
  { name: 'one that there is not cannot be stopped', given: [], when: { type: 'stop' }, expected: 'not-found' },
]

for (const { name, given, when, expected } of decisions) {
  test(name, () => {
    if (typeof expected !== 'string') return assert.equal(decide(when, id, after(...given)), expected)
    assert.throws(
      () => decide(when, id, after(...given)),
      (error: unknown) => error instanceof FaafoError && error.code === expected && /^cannot /.test(error.message),
    )
  })
}

test('an operation tells when it was requested, went on and ended', () => {
  const operation = after(...over)
  assert.equal(
    [operation?.requestedAt, operation?.updatedAt, operation?.finishedAt, operation?.status],
    [startTime + 999, startTime + 3000, startTime + 3000, 'completed'],
  )
})

test('the first event and the newest make the state, and one that comes twice or late changes nothing', () => {
  const history = [...stopping, ended(4, 'cancelled', done(1), b)].map(recorded)
  for (let n = 1; n <= history.length; n++) {
    const [first, newest] = [history[0], history[n - 1]] as [OperationEvent, OperationEvent]
    const all = fold(history.slice(0, n))
    assert.equal(fold([first, newest]), all)
    for (const event of history.slice(0, n)) assert.equal(evolve(all, event), all)
  }
})

/* What it means for one fractal. */

const ofFractal = (event: NewEvent, fractal = a): NewEvent => ({ ...event, fractal })
const taskRequested = (generation = 1, fractal = a): NewEvent => ({
  type: 'TaskRequested',
  fractal,
  data: { generation, cause: generation === 1 ? 'created' : 'retry', params, chosen: [], requestHash: sha256 },
})
const failed = (generation = 1, fractal = a): NewEvent => ({
  type: 'TaskFailed',
  fractal,
  data: { generation, error: { code: 'x', message: 'y' }, attempts: 5 },
})
const cause = recorded(requested).id
/** A history; `ours` are the places (from 0) of events that this operation appended. */
const history = (events: NewEvent[], ours: number[] = []): RecordedEvent[] =>
  events.map((event, i) => ({ ...recordedAs(event, i + 1), ...(ours.includes(i) && { causationid: cause }) }))
const verdict = (action: Action, events: NewEvent[], ours: number[] = []) =>
  verdictOn({ id, action, cause }, a, history(events, ours))
const cancelled = (generation = 1, fractal = a): NewEvent => ({
  type: 'TaskCancelled',
  fractal,
  data: { generation, reason: `asked for by bulk operation ${id}` },
})
const deleted: NewEvent = { type: 'TaskDeleted', fractal: a, data: {} }

test('what can be cancelled is, and what is finished or gone is left alone', () => {
  assert.equal(verdict('cancel', [taskRequested()]), { type: 'change', events: [cancelled()], begun: false })
  for (const end of [ofFractal(completed(1)), failed(), cancelled(), deleted]) {
    assert.equal(verdict('cancel', [taskRequested(), end]), { type: 'leave' })
  }
  assert.equal(verdict('cancel', []), { type: 'leave' })
})

test('what it has cancelled it does not cancel again, whatever happened since', () => {
  assert.equal(verdict('cancel', [taskRequested(), cancelled()], [1]), { type: 'done' })
  assert.equal(verdict('cancel', [taskRequested(), cancelled(), taskRequested(2)], [1]), { type: 'done' })
})

test('what failed again after its retry is not retried again', () => {
  const again = { ...taskRequested(2), data: { ...taskRequested(2).data } }
  assert.equal(verdict('retry', [taskRequested(), failed()]), { type: 'change', events: [again], begun: false })
  assert.equal(verdict('retry', [taskRequested(), failed(), taskRequested(2), failed(2)], [2]), { type: 'done' })
  assert.is(verdict('retry', [taskRequested(), failed(), taskRequested(2), failed(2)]).type, 'change')
  assert.equal(verdict('retry', [taskRequested(), ofFractal(completed(1))]), { type: 'leave' })
})

test('a retry of what had an image once asks for its pixels', () => {
  const second = verdict('retry', [taskRequested(), ofFractal(completed(1)), taskRequested(2), failed(2)])
  const data = second.type === 'change' && second.events[0]?.data
  assert.is((data as { expectedPixelChecksum?: string }).expectedPixelChecksum, sha256)
})

test('a delete that was half done is finished, and one that is done is done', () => {
  const halves = [{ ...cancelled(), data: { generation: 1, reason: 'deleted' } } as NewEvent, deleted]
  assert.equal(verdict('delete', [taskRequested()]), { type: 'change', events: halves, begun: false })
  assert.equal(verdict('delete', [taskRequested(), cancelled()], [1]), {
    type: 'change',
    events: [deleted],
    begun: true,
  })
  assert.equal(verdict('delete', [taskRequested(), cancelled(), deleted], [1, 2]), { type: 'done' })
  assert.equal(verdict('delete', [taskRequested(), deleted]), { type: 'leave' })
})

/*
 * The whole of it, with executors that die after any append: each picks up from the first and the newest version, and
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
