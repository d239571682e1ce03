import type { EventData, NewEvent } from '../../events/events.ts'
import { params, sha256, uuid } from '../support/legal-history.ts'

/* What may happen to one fractal. */

export const error = { code: 'render-failed', message: 'no luck' }
const [generation, worker] = [1, 'worker-1']

export const requested = (data: Partial<EventData['TaskRequested']> = {}): NewEvent => ({
  type: 'TaskRequested',
  fractal: uuid,
  data: { generation, cause: 'created', params, chosen: ['cx', 'cy'], requestHash: sha256, ...data },
})
export const retried = requested({ generation: 2, cause: 'retry' })
export const started = (entry: number, g = generation): NewEvent => ({
  type: 'TaskStarted',
  fractal: uuid,
  data: { generation: g, entry, worker, isolated: false },
})
export const attemptFailed = (entry: number, data: Partial<EventData['TaskAttemptFailed']> = {}): NewEvent => ({
  type: 'TaskAttemptFailed',
  fractal: uuid,
  data: { generation, entry, started: entry - 1, worker, error, counted: true, ...data },
})
export const failedIn = (generation: number): NewEvent => ({
  type: 'TaskFailed',
  fractal: uuid,
  data: { generation, error, attempts: 5 },
})
export const failed = failedIn(generation)
export const cancelled = (reason = 'asked for'): NewEvent => ({
  type: 'TaskCancelled',
  fractal: uuid,
  data: { generation, reason },
})
export const deleted: NewEvent = { type: 'TaskDeleted', fractal: uuid, data: {} }
