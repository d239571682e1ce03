import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cursorOf } from '../../events/cursor.ts'
import type { NewEvent } from '../../events/events.ts'
import { showHistory } from '../../services/replay/show.ts'
import { completed, params, recordedAll, sha256, uuid } from '../support/legal-history.ts'

const attempt = { generation: 1, worker: 'worker-1' }
const error = { code: 'storage-unavailable', message: 'the disk is away' }
const history = recordedAll(
  {
    type: 'TaskRequested',
    fractal: uuid,
    data: { generation: 1, cause: 'created', params, chosen: ['cx', 'cy'], requestHash: sha256 },
  },
  { type: 'TaskStarted', fractal: uuid, data: { ...attempt, entry: 1, isolated: false } },
  { type: 'TaskAttemptFailed', fractal: uuid, data: { ...attempt, entry: 2, started: 1, error, counted: false } },
  { type: 'TaskStarted', fractal: uuid, data: { ...attempt, entry: 3, isolated: true } },
  completed(1, 3),
  { type: 'TaskDeleted', fractal: uuid, data: {} } satisfies NewEvent,
)

test('a fractal’s history reads as a list of what happened when, by whom and for how long', async () => {
  const log = { wholeHistory: async (of: string) => (of === uuid ? history : []) }
  const entries = await showHistory(log, uuid)
  assert.equal(
    entries.map(({ type, generation, worker, duration, details }) => [type, generation, worker, duration, details]),
    [
      [
        'TaskRequested',
        1,
        null,
        null,
        'created: 64 x 48 pixels, 100 iterations, x -2 to 2, y -1.5 to 1.5, c = -0.8 + 0.156i (chosen)',
      ],
      ['TaskStarted', 1, 'worker-1', null, 'entry 1'],
      ['TaskAttemptFailed', 1, 'worker-1', 1, 'entry 2, ends 1: storage-unavailable: the disk is away (not counted)'],
      ['TaskStarted', 1, 'worker-1', null, 'entry 3, in a process of its own'],
      ['TaskCompleted', 1, 'worker-1', 0.5, `1234 bytes, SHA-256 ${sha256}, by the start of entry 3`],
      ['TaskDeleted', null, null, null, ''],
    ],
  )
  assert.equal(
    entries.map(({ time, cursor, eventId }) => ({ time, cursor, eventId })),
    history.map((event) => ({
      time: new Date(event.recordedAt).toISOString(),
      cursor: cursorOf(event),
      eventId: event.id,
    })),
  )
})

test('of an unknown fractal there is nothing to show', async () => {
  assert.equal(await showHistory({ wholeHistory: async () => [] }, uuid), [])
})

test.run()
