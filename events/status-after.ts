import type { EventType } from './events.ts'
import type { Status } from './task.ts'

/** The state that an event of each type leads to, which is what filters by status mean. */
export const statusAfter = {
  TaskRequested: 'requested',
  TaskStarted: 'rendering',
  TaskAttemptFailed: 'requested',
  TaskCompleted: 'completed',
  TaskFailed: 'failed',
  TaskCancelled: 'cancelled',
  TaskDeleted: 'deleted',
} as const satisfies Record<EventType, Status | 'deleted'>
