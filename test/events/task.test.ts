import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type AttemptEvent, evolveAttempts, noAttempts } from '../../events/attempts.ts'
import type { ErrorCode } from '../../events/errors.ts'
import { FaafoError } from '../../events/errors.ts'
import type { EventData, NewEvent, RecordedEvent } from '../../events/events.ts'
import { type Command, decide, evolve, type Fractal, fold, isFractal, unknown } from '../../events/task.ts'
import {
  completed,
  legalHistory,
  params,
  recordedAll,
  recordedAs,
  sha256,
  startTime,
  uuid,
} from '../support/legal-history.ts'

const error = { code: 'render-failed', message: 'no luck' }
const [generation, worker] = [1, 'worker-1']

const requested = (data: Partial<EventData['TaskRequested']> = {}): NewEvent => ({
  type: 'TaskRequested',
  fractal: uuid,
  data: { generation, cause: 'created', params, chosen: ['cx', 'cy'], requestHash: sha256, ...data },
})
const retried = requested({ generation: 2, cause: 'retry' })
const started = (entry: number, g = generation): NewEvent => ({
  type: 'TaskStarted',
  fractal: uuid,
  data: { generation: g, entry, worker, isolated: false },
})
const attemptFailed = (entry: number, data: Partial<EventData['TaskAttemptFailed']> = {}): NewEvent => ({
  type: 'TaskAttemptFailed',
  fractal: uuid,
  data: { generation, entry, started: entry - 1, worker, error, counted: true, ...data },
})
const failedIn = (generation: number): NewEvent => ({
  type: 'TaskFailed',
  fractal: uuid,
  data: { generation, error, attempts: 5 },
})
const failed = failedIn(generation)
const cancelled = (reason = 'asked for'): NewEvent => ({
  type: 'TaskCancelled',
  fractal: uuid,
  data: { generation, reason },
})
const deleted: NewEvent = { type: 'TaskDeleted', fractal: uuid, data: {} }

const request: Command = { type: 'request', fractal: uuid, params, chosen: ['cx', 'cy'], requestHash: sha256 }
const cancel: Command = { type: 'cancel', fractal: uuid, reason: 'asked for' }
const retry: Command = { type: 'retry', fractal: uuid, imageLost: false, pixelChecksum: null }
const mend: Command = { type: 'retry', fractal: uuid, imageLost: true, pixelChecksum: sha256 }
const remove: Command = { type: 'delete', fractal: uuid }

const stateAfter = (...events: NewEvent[]) => fold(recordedAll(...events))
function fractalAfter(...events: NewEvent[]): Fractal {
  const task = stateAfter(...events)
  if (!isFractal(task)) throw new Error(`it is ${task.status}`)
  return task
}

const decisions: { name: string; given: NewEvent[]; when: Command; expected: NewEvent[] | ErrorCode }[] = [
  { name: 'a request of an unknown uuid is recorded', given: [], when: request, expected: [requested()] },
  {
    name: 'who asked is recorded where it is known',
    given: [],
    when: { ...request, actor: 'ada' },
    expected: [requested({ actor: 'ada' })],
  },
  { name: 'the same request again changes nothing', given: [requested()], when: request, expected: [] },
  {
    name: 'the same request again changes nothing once completed',
    given: [requested(), completed(1)],
    when: request,
    expected: [],
  },
  {
    name: 'another constant that we chose makes no other request',
    given: [requested()],
    when: { ...request, params: { ...params, cx: 0.3, cy: 0.4 } },
    expected: [],
  },
  {
    name: 'a constant given where we had chosen one makes the same request only when it is the same',
    given: [requested()],
    when: { ...request, chosen: [], params: { ...params, cx: 0.3 } },
    expected: 'already-exists',
  },
  {
    name: 'a constant that we chose where one was given before makes another request',
    given: [requested({ chosen: [] })],
    when: request,
    expected: 'already-exists',
  },
  {
    name: 'another request of a taken uuid is refused',
    given: [requested()],
    when: { ...request, params: { ...params, width: 65 } },
    expected: 'already-exists',
  },
  {
    name: 'a request of a removed uuid is refused',
    given: [requested(), cancelled(), deleted],
    when: request,
    expected: 'removed',
  },
  { name: 'a waiting fractal can be cancelled', given: [requested()], when: cancel, expected: [cancelled()] },
  {
    name: 'a rendering fractal can be cancelled',
    given: [requested(), started(1)],
    when: cancel,
    expected: [cancelled()],
  },
  { name: 'cancelling again changes nothing', given: [requested(), cancelled()], when: cancel, expected: [] },
  {
    name: 'a completed fractal cannot be cancelled',
    given: [requested(), completed(1)],
    when: cancel,
    expected: 'illegal-transition',
  },
  {
    name: 'a failed fractal cannot be cancelled',
    given: [requested(), failed],
    when: cancel,
    expected: 'illegal-transition',
  },
  { name: 'an unknown fractal cannot be cancelled', given: [], when: cancel, expected: 'not-found' },
  {
    name: 'a removed fractal cannot be cancelled',
    given: [requested(), failed, deleted],
    when: cancel,
    expected: 'removed',
  },
  { name: 'a failed fractal can be retried', given: [requested(), failed], when: retry, expected: [retried] },
  { name: 'a cancelled fractal can be retried', given: [requested(), cancelled()], when: retry, expected: [retried] },
  { name: 'a waiting fractal cannot be retried', given: [requested()], when: retry, expected: 'illegal-transition' },
  {
    name: 'a completed fractal with its image cannot be retried',
    given: [requested(), completed(1)],
    when: retry,
    expected: 'illegal-transition',
  },
  {
    name: 'a completed fractal without its image is rendered again, to the same pixels',
    given: [requested(), completed(1)],
    when: mend,
    expected: [requested({ generation: 2, cause: 'image-lost', expectedPixelChecksum: sha256 })],
  },
  {
    name: 'a fractal that once had an image and could not be mended is rendered again, to the same pixels still',
    given: [requested(), completed(1), requested({ generation: 2, cause: 'image-lost' }), failedIn(2)],
    when: { type: 'retry', fractal: uuid, imageLost: false, pixelChecksum: sha256 },
    expected: [requested({ generation: 3, cause: 'retry', expectedPixelChecksum: sha256 })],
  },
  { name: 'an unknown fractal cannot be retried', given: [], when: retry, expected: 'not-found' },
  {
    name: 'a removed fractal cannot be retried',
    given: [requested(), failed, deleted],
    when: retry,
    expected: 'removed',
  },
  {
    name: 'deleting a finished fractal removes it',
    given: [requested(), completed(1)],
    when: remove,
    expected: [deleted],
  },
  {
    name: 'deleting an unfinished fractal cancels and removes it',
    given: [requested(), started(1)],
    when: remove,
    expected: [cancelled('deleted'), deleted],
  },
  { name: 'deleting an unknown fractal changes nothing', given: [], when: remove, expected: [] },
  {
    name: 'deleting a removed fractal changes nothing',
    given: [requested(), failed, deleted],
    when: remove,
    expected: [],
  },
]

for (const { name, given, when, expected } of decisions) {
  test(name, () => {
    const task = stateAfter(...given)
    if (typeof expected !== 'string') return assert.equal(decide(when, task), expected)
    assert.throws(
      () => decide(when, task),
      (thrown: unknown) =>
        thrown instanceof FaafoError && thrown.code === expected && /^cannot \w+ .+: /.test(thrown.message),
    )
  })
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
