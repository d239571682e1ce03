import type { NewEvent } from '../../events/events.ts'
import type { Action, Counts, NewOperationEvent, OperationCommand, OperationEvent } from '../../events/operation.ts'
import { params, sha256, startTime } from '../support/legal-history.ts'

/* What happens to one operation, and to the fractals that it may change. */

/** The operation. */
export const id = '7c9e6679-7425-40de-944b-e07fc1f90ae7'
/** Fractals. */
export const [a, b, c] = ['a', 'b', 'c'].map((letter) => `${letter.repeat(8)}-0000-4000-8000-000000000000`) as [
  string,
  string,
  string,
]
/** What was asked for, by which it is the same request. */
export const asked = {
  action: 'cancel' as Action,
  filters: [{ name: 'status', op: '==', val: 'failed' }],
  rate: null,
  upTo: { fractal: a, event: b },
}
export const requested: NewOperationEvent = { type: 'OperationRequested', aggregate: id, version: 1, data: asked }

/** The event as the log would hold it, a second after the version before. */
export const recorded = (event: NewOperationEvent): OperationEvent => {
  const recordedAt = startTime + event.version * 1000
  const time = new Date(recordedAt - 1).toISOString()
  const eventId = `00000000-0000-4000-8000-${String(event.version).padStart(12, '0')}`
  return { ...event, id: eventId, source: '/test', time, seq: event.version, recordedAt }
}
/** What each event names that the operation has appended. */
export const cause = recorded(requested).id

/** So much was done, and so it goes on. */
export const advance = (
  done: Counts,
  rest: string[],
  next: string[],
  matched: number | null = 3,
): OperationCommand => ({
  ...{ type: 'advance', matched, done, rest, next },
})

/** The same, of another fractal. */
export const ofFractal = (event: NewEvent, fractal = a): NewEvent => ({ ...event, fractal })
export const taskRequested = (generation = 1, fractal = a): NewEvent => ({
  type: 'TaskRequested',
  fractal,
  data: { generation, cause: generation === 1 ? 'created' : 'retry', params, chosen: [], requestHash: sha256 },
})
export const failed = (generation = 1, fractal = a): NewEvent => ({
  type: 'TaskFailed',
  fractal,
  data: { generation, error: { code: 'x', message: 'y' }, attempts: 5 },
})
export const cancelled = (generation = 1, fractal = a): NewEvent => ({
  type: 'TaskCancelled',
  fractal,
  data: { generation, reason: `asked for by bulk operation ${id}` },
})
