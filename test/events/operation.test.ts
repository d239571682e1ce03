import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ErrorCode, FaafoError } from '../../events/errors.ts'
import {
  type Counts,
  decide,
  evolve,
  fold,
  type NewOperationEvent,
  nothingYet,
  type OperationCommand,
  type OperationEvent,
} from '../../events/operation.ts'
import { startTime } from '../support/legal-history.ts'
import { a, advance, asked, b, c, id, recorded, requested } from './operation-events.ts'

const request: OperationCommand = { type: 'request', ...asked }
const done = (changed: number, unchanged = 0): Counts => ({ changed, unchanged, unreadable: 0 })

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

const after = (...events: NewOperationEvent[]) => fold(events.map(recorded))

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
    name: 'minus nought is nought once it is recorded',
    given: [{ ...requested, data: { ...asked, filters: [{ name: 'xa', op: '>', val: 0 }] } } as NewOperationEvent],
    when: { ...request, filters: [{ name: 'xa', op: '>', val: -0 }] },
    expected: [],
  },
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
    name: 'it fails with its reason, and says what was done',
    given: running,
    when: { type: 'fail', done: done(1), reason: 'no' },
    expected: [ended(3, 'failed', done(1), b, 'no')],
  },
  {
    name: 'one that is over does not fail',
    given: over,
    when: { type: 'fail', done: done(1), reason: 'no' },
    expected: [],
  },
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

test.run()
