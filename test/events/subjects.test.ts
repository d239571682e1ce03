import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { kindNames, namesIn, slotBefore } from '../../events/subjects.ts'
import { newEvent } from '../support/event-arbitraries.ts'
import { legalHistory } from '../support/legal-history.ts'

const uuid = '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11'
const namespace = fc.constantFrom('', 'blue', 'team_7-b')

/** Whether a NATS subject matches a filter whose only wildcard is `*`. */
const matches = (filter: string, subject: string) => {
  const tokens = subject.split('.')
  const wanted = filter.split('.')
  return tokens.length === wanted.length && wanted.every((token, i) => token === '*' || token === tokens[i])
}

test('the subjects are those of the log', () => {
  const names = namesIn('')
  assert.is(names.stream, 'FRACTAL')
  assert.is(names.requested(uuid, 1), `fractal.requested.${uuid}.1`)
  assert.is(names.attempt(uuid, 2, 3), `fractal.attempt.${uuid}.2.3`)
  assert.is(names.outcome(uuid, 2), `fractal.outcome.${uuid}.2`)
  assert.is(names.removed(uuid), `fractal.removed.${uuid}`)
})

test('a namespace stands in front of every name', () => {
  const { streamSubjects, stream, renderConsumer, renderFilter, requested, removed, progress, presence, bucket } =
    namesIn('blue')
  for (const name of [stream, renderConsumer, bucket('images')]) assert.match(name, /^blue-/)
  const subjects = [...streamSubjects, renderFilter, requested(uuid, 1), removed(uuid), progress(uuid), presence('w')]
  for (const subject of subjects) assert.match(subject, /^blue\./)
})

test('every event stands in a slot that exactly one subject of the stream takes in', () => {
  fc.assert(
    fc.property(namespace, newEvent, (space, event) => {
      const names = namesIn(space)
      const taking = names.streamSubjects.filter((filter) => matches(filter, names.slot(event)))
      assert.is(taking.length, 1, names.slot(event))
      assert.match(names.slot(event), event.fractal)
    }),
  )
})

test('the outcomes of one generation compete for one slot', () => {
  const { slot, outcome } = namesIn('')
  const error = { code: 'render-failed', message: 'cannot render: it was tried' }
  assert.is(slot({ type: 'TaskFailed', fractal: uuid, data: { generation: 3, error, attempts: 2 } }), outcome(uuid, 3))
  assert.is(
    slot({ type: 'TaskCancelled', fractal: uuid, data: { generation: 3, reason: 'asked for' } }),
    outcome(uuid, 3),
  )
})

test('the slot before one is filled before it in every history, and leaves out no attempt', () => {
  const { slot, requested, attempt, outcome, removed } = namesIn('')
  assert.is(slotBefore(requested(uuid, 1)), null)
  assert.is(slotBefore(requested(uuid, 3)), outcome(uuid, 2))
  assert.is(slotBefore(attempt(uuid, 2, 1)), requested(uuid, 2))
  assert.is(slotBefore(attempt(uuid, 2, 3)), attempt(uuid, 2, 2))
  assert.is(slotBefore(outcome(uuid, 2)), requested(uuid, 2))
  assert.is(slotBefore(removed(uuid)), requested(uuid, 1))
  fc.assert(
    fc.property(legalHistory, (history) => {
      const filled = new Set<string | null>([null])
      for (const event of history) {
        assert.ok(filled.has(slotBefore(slot(event))), slot(event))
        filled.add(slot(event))
      }
    }),
  )
})

test("the workers' filter takes in requests and nothing else", () => {
  fc.assert(
    fc.property(namespace, newEvent, (space, event) => {
      const names = namesIn(space)
      assert.is(matches(names.renderFilter, names.slot(event)), event.type === 'TaskRequested')
    }),
  )
})

test('every version of an aggregate is a slot of the second stream, and of no other stream in whatever namespace', () => {
  const spaces = ['', 'blue', 'faafo', 'fractal', 'operation', 'import'].map(namesIn)
  for (const kind of kindNames) {
    for (const [i, names] of spaces.entries()) {
      const taking = spaces.filter((other) =>
        [...other.streamSubjects, ...other.aggregateSubjects].some((filter) =>
          matches(filter, names.aggregate(kind, uuid, 7)),
        ),
      )
      assert.equal(taking, [spaces[i]])
    }
  }
  assert.is(namesIn('').aggregate('operation', uuid, 2), `faafo.operation.${uuid}.2`)
  assert.is(namesIn('blue').aggregateStream, 'blue-FAAFO')
})

test('progress, presence and roll calls are in no stream', () => {
  const names = namesIn('blue')
  for (const subject of [names.progress(uuid), names.presence('worker-1'), names.rollCall]) {
    assert.not([...names.streamSubjects, ...names.aggregateSubjects].some((filter) => matches(filter, subject)))
  }
})

test.run()
