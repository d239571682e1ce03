import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type AttemptEvent, evolveAttempts, noAttempts } from '../../events/attempts.ts'
import type { NewEvent, RecordedEvent } from '../../events/events.ts'
import { evolve, type Fractal, fold, isFractal, unknown } from '../../events/task.ts'
import { completed, legalHistory, recordedAll, recordedAs, sha256, startTime } from '../support/legal-history.ts'
import { attemptFailed, cancelled, deleted, error, failed, requested, retried, started } from './task-events.ts'

function fractalAfter(...events: NewEvent[]): Fractal {
  const task = fold(recordedAll(...events))
  if (!isFractal(task)) throw new Error(`it is ${task.status}`)
  return task
}

const states: { name: string; given: NewEvent[]; expected: Partial<Fractal> }[] = [
  {
    name: 'a requested fractal waits',
    given: [requested()],
    expected: {
      status: 'requested',
      generation: 1,
      attempts: 0,
      requestedAt: startTime + 999,
      updatedAt: startTime + 1000,
    },
  },
  {
    name: 'a started fractal renders',
    given: [requested(), started(1)],
    expected: { status: 'rendering', attempts: 1, startedAt: startTime + 2000, entry: 1 },
  },
  {
    name: 'a failed attempt waits for the next, and says what went wrong',
    given: [requested(), started(1), attemptFailed(2)],
    expected: { status: 'requested', attempts: 1, error, entry: 2 },
  },
  {
    name: 'an attempt that was handed back does not count',
    given: [requested(), started(1), attemptFailed(2, { counted: false })],
    expected: { status: 'requested', attempts: 0, error: null },
  },
  {
    name: 'a completed fractal has its image and no error',
    given: [requested(), started(1), attemptFailed(2), started(3), completed(1, 3)],
    expected: {
      status: 'completed',
      attempts: 2,
      error: null,
      finishedAt: startTime + 5000,
      last: { seq: 5, id: recordedAs(deleted, 5).id },
    },
  },
  {
    name: 'a failed fractal says why',
    given: [requested(), failed],
    expected: { status: 'failed', error, image: null },
  },
  {
    name: 'a cancelled fractal is finished',
    given: [requested(), cancelled()],
    expected: { status: 'cancelled', finishedAt: startTime + 2000 },
  },
  {
    name: 'a retry begins anew in the next generation, at the same place in the order of creation',
    given: [requested(), started(1), failed, retried],
    expected: {
      ...{ status: 'requested', generation: 2, attempts: 0, entry: 0, error: null, startedAt: null, finishedAt: null },
      ...{ requestedAt: startTime + 999, first: { seq: 1, id: recordedAs(deleted, 1).id } },
    },
  },
  {
    name: 'a retry keeps the hash of the first request',
    given: [requested(), failed, requested({ generation: 2, cause: 'retry', requestHash: 'cd'.repeat(32) })],
    expected: { requestHash: sha256 },
  },
  {
    name: 'the loser of an outcome changes nothing',
    given: [requested(), completed(1), failed, cancelled()],
    expected: { status: 'completed', last: { seq: 2, id: recordedAs(deleted, 2).id } },
  },
  {
    name: 'a generation that leaves one out is none',
    given: [requested(), failed, requested({ generation: 3 })],
    expected: { status: 'failed', generation: 1 },
  },
  {
    name: 'a retry of an unfinished generation is none',
    given: [requested(), retried],
    expected: { status: 'requested', generation: 1 },
  },
]

for (const { name, given, expected } of states) {
  test(name, () => {
    const task = fractalAfter(...given)
    assert.equal(Object.fromEntries(Object.keys(expected).map((key) => [key, task[key as keyof Fractal]])), expected)
  })
}

test('nothing but a first request makes something of nothing', () => {
  for (const event of [retried, started(1), attemptFailed(2), completed(1), failed, cancelled(), deleted]) {
    assert.is(evolve(unknown, recordedAs(event, 1)), unknown)
  }
})

test('folding is deterministic, and may be interrupted anywhere', () => {
  fc.assert(
    fc.property(legalHistory, fc.nat(), (history, n) => {
      const whole = fold(history)
      assert.equal(fold(structuredClone(history)), whole)
      const cut = n % (history.length + 1)
      assert.equal(fold(history.slice(cut), fold(history.slice(0, cut))), whole)
    }),
  )
})

test('events delivered again, at any later place, change nothing', () => {
  const repeats = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 20 })
  fc.assert(
    fc.property(legalHistory, repeats, (history, places) => {
      const delivered = [...history]
      for (const [which, where] of places) {
        const from = which % delivered.length
        const event = delivered[from]
        if (event) delivered.splice(from + 1 + (where % (delivered.length - from)), 0, event)
      }
      assert.equal(fold(delivered), fold(history))
    }),
  )
})

const isOutcome = (event: RecordedEvent): event is RecordedEvent<'TaskCompleted' | 'TaskFailed' | 'TaskCancelled'> =>
  event.type === 'TaskCompleted' || event.type === 'TaskFailed' || event.type === 'TaskCancelled'
const finished = { TaskCompleted: 'completed', TaskFailed: 'failed', TaskCancelled: 'cancelled' }

test('every legal history ends in exactly one terminal state once an outcome is in', () => {
  fc.assert(
    fc.property(legalHistory, (history) => {
      const task = fold(history)
      if (history.some((event) => event.type === 'TaskDeleted')) return assert.is(task.status, 'deleted')
      if (!isFractal(task)) throw new Error('it was requested')
      assert.is(task.generation, history.filter((event) => event.type === 'TaskRequested').length)
      const outcomes = history.filter(isOutcome).filter((event) => event.data.generation === task.generation)
      assert.ok(outcomes.length <= 1)
      const [outcome] = outcomes
      if (outcome) assert.is(task.status, finished[outcome.type])
      else assert.ok(task.status === 'requested' || task.status === 'rendering')
      assert.is(task.finishedAt, outcome?.recordedAt ?? null)
    }),
    { numRuns: 500 },
  )
})

test('attempts and outcomes of a superseded generation fold to nothing', () => {
  fc.assert(
    fc.property(legalHistory, (history) => {
      const task = fold(history)
      if (!isFractal(task) || task.generation === 1) return
      const late = [started(99), attemptFailed(99), completed(1), failed, cancelled()]
      for (const event of late) assert.is(evolve(task, recordedAs(event, history.length + 1)), task)
    }),
    { numRuns: 500 },
  )
})

test('after a fractal was removed nothing changes any more', () => {
  fc.assert(
    fc.property(legalHistory, legalHistory, (history, later) => {
      const removed = fold([...history, recordedAs(deleted, history.length + 1)])
      assert.is(removed.status, 'deleted')
      assert.is(fold(later, removed), removed)
    }),
  )
})

test('attempts are counted as the record of the generation counts them', () => {
  fc.assert(
    fc.property(legalHistory, (history) => {
      const task = fold(history)
      if (!isFractal(task)) return
      const mine = history.filter((event) => 'generation' in event.data && event.data.generation === task.generation)
      const outcome = mine.findIndex(isOutcome)
      const record = mine
        .slice(0, outcome === -1 ? mine.length : outcome)
        .filter((event): event is AttemptEvent => event.type === 'TaskStarted' || event.type === 'TaskAttemptFailed')
        .reduce(evolveAttempts, noAttempts)
      assert.is(task.attempts, record.attempts)
      assert.is(task.entry, record.entry)
    }),
    { numRuns: 500 },
  )
})

test.run()
