import { hostname } from 'node:os'
import { FaafoError } from '../../events/errors.ts'
import { decide, isFractal, shownPixels, type Task } from '../../events/task.ts'
import { type ChangeParts, changeFractal } from '../platform/change.ts'
import { identify } from '../platform/identity.ts'
import type { Log } from '../platform/log.ts'

const APPEND_MS = 5_000

/**
 * Has a task that exhausted its tries rendered again, or deletes its fractal. Throws `not-found`, `removed`,
 * `illegal-transition` where it did not fail, `log-full`, `log-unavailable`.
 */
export async function changeTask(
  log: Log,
  uuid: string,
  action: 'retry' | 'drop',
  { dryRun = false }: { dryRun?: boolean } = {},
): Promise<void> {
  const source = `/replay/${hostname()}`
  const append: ChangeParts['append'] = (event, links) =>
    log.append(identify(event, source, links), { withinMs: APPEND_MS })
  await changeFractal({ history: log.history, append }, { fractal: uuid, action }, (history, task) => {
    requireFailed(task, uuid, action)
    const decided =
      action === 'drop'
        ? decide({ type: 'delete', fractal: uuid }, task)
        : decide({ type: 'retry', fractal: uuid, imageLost: false, pixelChecksum: shownPixels(history) }, task)
    return dryRun ? [] : decided
  })
}

function requireFailed(task: Task, uuid: string, action: string): void {
  if (isFractal(task) && task.status === 'failed') return
  const refuse = (code: 'illegal-transition' | 'removed' | 'not-found', reason: string) =>
    new FaafoError(code, `cannot ${action} fractal '${uuid}': ${reason}`)
  if (isFractal(task)) throw refuse('illegal-transition', `it is ${task.status}; only a task that failed is parked`)
  throw task.status === 'deleted'
    ? refuse('removed', 'it was deleted')
    : refuse('not-found', 'there is none of that uuid')
}
