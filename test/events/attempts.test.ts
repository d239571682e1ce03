import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type AttemptEvent,
  backoffMs,
  evolveAttempts,
  MAX_CRASHES,
  MAX_FAILURES,
  noAttempts,
  type Plan,
  planAttempt,
} from '../../events/attempts.ts'
import { recordedAs, uuid } from '../support/legal-history.ts'

/* An attempt record in short: a start, and how it ended. Entries are numbered as they come. */
type Line = 'start' | { ends: number; by: 'failure' | 'crash' | 'hand-back' }

const errors = {
  failure: { code: 'storage-unavailable', message: 'the disk is away' },
  crash: { code: 'render-crashed', message: 'signal SIGSEGV' },
  'hand-back': { code: 'aborted', message: 'the worker stops' },
}

const eventsOf = (lines: Line[]): AttemptEvent[] =>
  lines.map((line, i) => {
    const base = { generation: 1, entry: i + 1, worker: 'worker-1' }
    if (line === 'start') {
      return recordedAs(
        { type: 'TaskStarted', fractal: uuid, data: { ...base, isolated: false } },
        i + 1,
      ) as AttemptEvent
    }
    const data = { ...base, started: line.ends, error: errors[line.by], counted: line.by !== 'hand-back' }
    return recordedAs({ type: 'TaskAttemptFailed', fractal: uuid, data }, i + 1) as AttemptEvent
  })
const recordOf = (lines: Line[]) => eventsOf(lines).reduce(evolveAttempts, noAttempts)

/** `n` starts, each with its end. */
const ended = (n: number, by: 'failure' | 'crash' | 'hand-back'): Line[] =>
  Array.from({ length: n }, (_, i): Line[] => ['start', { ends: 2 * i + 1, by }]).flat()

const together: Plan = { type: 'render', isolated: false }
const alone: Plan = { type: 'render', isolated: true }

const plans: { name: string; given: Line[]; expected: Plan }[] = [
  { name: 'a task that was never tried is rendered among others', given: [], expected: together },
  { name: 'a task whose start has no end is rendered alone', given: ['start'], expected: alone },
  { name: 'starts without an end never fail a task, however many', given: Array(20).fill('start'), expected: alone },
  { name: 'a failed task is rendered among others again', given: ended(1, 'failure'), expected: together },
  { name: 'a task handed back is as one that was never tried', given: ended(7, 'hand-back'), expected: together },
  { name: 'a task that crashed its own process is rendered alone', given: ended(1, 'crash'), expected: alone },
  {
    name: 'a failure of a second try does not hide that the first has no end',
    given: ['start', 'start', { ends: 2, by: 'failure' }],
    expected: alone,
  },
  {
    name: 'one failure short of the limit is tried again',
    given: ended(MAX_FAILURES - 1, 'failure'),
    expected: together,
  },
  {
    name: 'at the limit of failures the task fails with the last of them',
    given: ended(MAX_FAILURES, 'failure'),
    expected: { type: 'give-up', error: errors.failure, attempts: MAX_FAILURES },
  },
  { name: 'one crash short of the limit is tried again', given: ended(MAX_CRASHES - 1, 'crash'), expected: alone },
  {
    name: 'at the limit of crashes the task fails with the last of them',
    given: ended(MAX_CRASHES, 'crash'),
    expected: { type: 'give-up', error: errors.crash, attempts: MAX_CRASHES },
  },
  {
    name: 'crashes and failures are counted apart',
    given: [...ended(MAX_CRASHES - 1, 'crash'), 'start', { ends: 2 * MAX_CRASHES - 1, by: 'failure' }],
    expected: alone,
  },
]

for (const { name, given, expected } of plans) test(name, () => assert.equal(planAttempt(recordOf(given)), expected))

test('an entry that was seen already changes nothing', () => {
  const lines = [...ended(2, 'failure'), ...(['start'] as const)]
  const once = recordOf(lines)
  const events = eventsOf(lines)
  assert.equal([...events, ...events].reduce(evolveAttempts, noAttempts), once)
  for (const event of events) assert.is(evolveAttempts(once, event), once)
})

test('an end that is recorded twice counts once', () => {
  const twice = recordOf(['start', { ends: 1, by: 'failure' }, { ends: 1, by: 'failure' }])
  assert.equal(twice, { ...recordOf(['start', { ends: 1, by: 'failure' }]), entry: 3 })
})

test('a record counts what was begun and how it ended', () => {
  const lines: Line[] = [
    ...ended(1, 'failure'),
    'start',
    { ends: 3, by: 'crash' },
    'start',
    { ends: 5, by: 'hand-back' },
    'start',
  ]
  assert.equal(recordOf(lines), {
    entry: 7,
    attempts: 3,
    failures: 1,
    crashes: 1,
    unended: [7],
    lastError: errors.crash,
  })
})

test('the wait doubles with every failure, up to a minute', () => {
  assert.equal([0, 1, 2, 3, 4, 5, 6, 7, 50].map(backoffMs), [1e3, 1e3, 2e3, 4e3, 8e3, 16e3, 32e3, 6e4, 6e4])
})

test.run()
