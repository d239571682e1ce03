import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NewEvent, RecordedEvent } from '../../events/events.ts'
import { type Action, verdictOn } from '../../events/operation.ts'
import { completed, recordedAs, sha256 } from '../support/legal-history.ts'
import { a, cancelled, cause, failed, id, ofFractal, taskRequested } from './operation-events.ts'

/** A history; `ours` are the places (from 0) of events that this operation appended. */
const history = (events: NewEvent[], ours: number[] = []): RecordedEvent[] =>
  events.map((event, i) => ({ ...recordedAs(event, i + 1), ...(ours.includes(i) && { causationid: cause }) }))
const verdict = (action: Action, events: NewEvent[], ours: number[] = []) =>
  verdictOn({ id, action, cause }, a, history(events, ours))
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

test.run()
