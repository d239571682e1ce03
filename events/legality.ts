import type { RecordedEvent } from './events.ts'
import { isFinished, type Task } from './task.ts'

/**
 * Why an event cannot have come into the log after those that led to this state, whoever raced with whom; null where it
 * can. An event that lost a race, and changes nothing, is no reason: only what the slots and the rules of `decide` make
 * impossible is. Of a fractal that was deleted everything is let pass.
 */
export function objectionTo(task: Task, event: RecordedEvent): string | null {
  if (task.status === 'deleted') return null
  if (task.status === 'unknown') {
    return event.type === 'TaskRequested' && event.data.generation === 1 ? null : 'the fractal was never requested'
  }
  if (event.type === 'TaskDeleted') {
    const isEarly = task.generation === 1 && !isFinished(task.status)
    return isEarly ? 'the fractal was deleted before it was cancelled' : null
  }
  const { generation } = event.data
  if (event.type === 'TaskRequested') {
    if (generation !== task.generation + 1) return `generation ${generation} was requested after ${task.generation}`
    return isFinished(task.status) ? null : `generation ${generation} was requested before the end of the one before`
  }
  if (generation > task.generation) return `generation ${generation} was never requested`
  if (event.type === 'TaskStarted' || event.type === 'TaskAttemptFailed') {
    const isNext = generation < task.generation || isFinished(task.status) || event.data.entry === task.entry + 1
    return isNext ? null : `entry ${event.data.entry} of its attempts came after entry ${task.entry}`
  }
  if (generation < task.generation || isFinished(task.status)) return `generation ${generation} had ended before`
  if (event.type === 'TaskCompleted' && event.data.started > task.entry) {
    return `it was completed by a start, entry ${event.data.started}, that is not in the log`
  }
  return null
}
