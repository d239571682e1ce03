import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NewEvent, RecordedEvent } from '../../events/events.ts'
import { objectionTo } from '../../events/legality.ts'
import { evolve, type Task, unknown } from '../../events/task.ts'
import { completed, legalHistory, params, recordedAll, sha256, uuid } from '../support/legal-history.ts'

function objections(events: RecordedEvent[]): string[] {
  let task: Task = unknown
  return events.flatMap((event) => {
    const objection = objectionTo(task, event)
    task = evolve(task, event)
    return objection === null ? [] : [objection]
  })
}

test('no history that the rules allow, whoever raced with whom, raises an objection', () =>
  fc.assert(
    fc.property(legalHistory, (history) => assert.equal(objections(history), [])),
    { numRuns: 2_000 },
  ))

const requested = (generation = 1): NewEvent => ({
  type: 'TaskRequested',
  fractal: uuid,
  data: { generation, cause: 'created', params, chosen: [], requestHash: sha256 },
})
const started = (entry = 1, generation = 1): NewEvent => ({
  type: 'TaskStarted',
  fractal: uuid,
  data: { generation, entry, worker: 'w', isolated: false },
})
const cancelled: NewEvent = { type: 'TaskCancelled', fractal: uuid, data: { generation: 1, reason: 'asked for' } }
const deleted: NewEvent = { type: 'TaskDeleted', fractal: uuid, data: {} }

for (const [what, events] of [
  ['the fractal was never requested', [started()]],
  ['the fractal was never requested', [requested(2)]],
  ['generation 3 was requested after 1', [requested(), cancelled, requested(3)]],
  ['generation 2 was requested before the end of the one before', [requested(), requested(2)]],
  ['generation 2 was never requested', [requested(), started(1, 2)]],
  ['generation 1 had ended before', [requested(), started(), completed(1), cancelled]],
  ['entry 3 of its attempts came after entry 1', [requested(), started(), started(3)]],
  ['it was completed by a start, entry 2, that is not in the log', [requested(), started(), completed(1, 2)]],
  ['the fractal was deleted before it was cancelled', [requested(), deleted]],
] as const) {
  test(`objection: ${what}, after ${events.length - 1} events`, () =>
    assert.equal(objections(recordedAll(...events)), [what]))
}

test.run()
