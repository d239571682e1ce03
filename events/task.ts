import { FaafoError } from './errors.ts'
import type { EventData, NewEvent, RecordedEvent } from './events.ts'
import type { FractalParams } from './fractal.ts'

/*
 * The life of one fractal, folded from its events:
 *
 *   unknown ──TaskRequested(1)──▶ requested ──TaskStarted──▶ rendering ──▶ completed | failed | cancelled
 *                                     ▲                                          │
 *                                     └────────TaskRequested(generation + 1)─────┘
 *   any but unknown ──TaskDeleted──▶ deleted, for good
 *
 * `evolve` is total: an event that has no place in the state that it meets (a duplicate, a redelivery, a loser of a
 * race, an attempt of a superseded generation) changes nothing.
 */

export type Status = 'requested' | 'rendering' | 'completed' | 'failed' | 'cancelled'
export const statuses: readonly Status[] = ['requested', 'rendering', 'completed', 'failed', 'cancelled']

/** What went wrong, as a subscriber or a client may see it, and in which version of the program, where that is known. */
export type TaskError = { code: string; message: string; version?: string }

/** A fractal that was requested and not removed: what a row of the read model holds. */
export type Fractal = {
  status: Status
  uuid: string
  params: FractalParams
  chosen: readonly string[]
  requestHash: string
  generation: number
  /** Renders begun in this generation, those handed back at a shutdown apart. */
  attempts: number
  /** Set once completed. */
  image: Pick<
    EventData['TaskCompleted'],
    'checksum' | 'pixelChecksum' | 'size' | 'duration' | 'generatedBy' | 'imageKey' | 'kernelVersion'
  > | null
  /** The last thing that went wrong in this generation. */
  error: TaskError | null
  /** Unix milliseconds, as chosen when the request was handled: what the first answer said, a repeat says again. */
  requestedAt: number
  /** Unix milliseconds of the broker's clock, as are those below. */
  startedAt: number | null
  finishedAt: number | null
  updatedAt: number
  /** `<sequence>-<id prefix>` of the first TaskRequested: where the fractal stands in the order of creation. */
  first: { seq: number; id: string }
  /** The last event that changed anything. */
  last: { seq: number; id: string }
  /** Highest `entry` of this generation's attempt record. */
  entry: number
  /** The entries of its starts that no end is recorded of: a render that runs, or a crash. */
  unended: readonly number[]
}

export type Task = { status: 'unknown' } | { status: 'deleted' } | Fractal

export const unknown: Task = { status: 'unknown' }
const deleted: Task = { status: 'deleted' }

export const isFractal = (task: Task): task is Fractal => task.status !== 'unknown' && task.status !== 'deleted'
export const isFinished = (status: Status) => status === 'completed' || status === 'failed' || status === 'cancelled'

/** The state after `event`. Pure and total; equal inputs give equal states whatever is delivered twice or late. */
export function evolve(task: Task, event: RecordedEvent): Task {
  if (task.status === 'deleted') return task
  if (event.type === 'TaskRequested') return requested(task, event)
  if (!isFractal(task)) return task
  if (event.type === 'TaskDeleted') return deleted
  if (event.data.generation !== task.generation || isFinished(task.status)) return task
  const updatedAt = event.recordedAt
  const last = { seq: event.seq, id: event.id }
  switch (event.type) {
    case 'TaskStarted': {
      const { entry } = event.data
      if (entry <= task.entry) return task
      const [attempts, unended] = [task.attempts + 1, [...task.unended, entry]]
      return { ...task, updatedAt, last, entry, attempts, unended, status: 'rendering', startedAt: event.recordedAt }
    }
    case 'TaskAttemptFailed': {
      const { entry, started, counted } = event.data
      if (entry <= task.entry) return task
      if (!task.unended.includes(started)) return { ...task, updatedAt, last, entry } // its end was recorded before
      const ended = { entry, status: 'requested' as const, unended: task.unended.filter((start) => start !== started) }
      if (!counted) return { ...task, updatedAt, last, ...ended, attempts: task.attempts - 1 }
      return { ...task, updatedAt, last, ...ended, error: errorOf(event.data) }
    }
    case 'TaskCompleted': {
      const { checksum, pixelChecksum, size, duration, generatedBy, imageKey, kernelVersion } = event.data
      const image = { checksum, pixelChecksum, size, duration, generatedBy, imageKey, kernelVersion }
      return { ...task, updatedAt, last, status: 'completed', image, error: null, finishedAt: event.recordedAt }
    }
    case 'TaskFailed':
      return { ...task, updatedAt, last, status: 'failed', error: errorOf(event.data), finishedAt: event.recordedAt }
    case 'TaskCancelled':
      return { ...task, updatedAt, last, status: 'cancelled', finishedAt: event.recordedAt }
  }
}

const errorOf = ({ error, version }: EventData['TaskFailed' | 'TaskAttemptFailed']): TaskError =>
  version === undefined ? error : { ...error, version }

function requested(task: Task, event: RecordedEvent<'TaskRequested'>): Task {
  const expected = isFractal(task) ? task.generation + 1 : 1
  if (event.data.generation !== expected || (isFractal(task) && !isFinished(task.status))) return task
  const last = { seq: event.seq, id: event.id }
  return {
    status: 'requested',
    uuid: event.fractal,
    params: event.data.params,
    chosen: event.data.chosen,
    requestHash: isFractal(task) ? task.requestHash : event.data.requestHash,
    generation: event.data.generation,
    attempts: 0,
    image: null,
    error: null,
    requestedAt: isFractal(task) ? task.requestedAt : Date.parse(event.time),
    startedAt: null,
    finishedAt: null,
    updatedAt: event.recordedAt,
    first: isFractal(task) ? task.first : last,
    last,
    entry: 0,
    unended: [],
  }
}

/** Folds a history, in the order of the log. */
export const fold = (events: Iterable<RecordedEvent>, from: Task = unknown): Task => {
  let task = from
  for (const event of events) task = evolve(task, event)
  return task
}

/** Pixel checksum of the first image that a fractal had, null where it never had one. */
export const shownPixels = (events: Iterable<RecordedEvent>): string | null => {
  for (const event of events) if (event.type === 'TaskCompleted') return event.data.pixelChecksum
  return null
}

export type Command =
  | {
      type: 'request'
      fractal: string
      params: FractalParams
      chosen: string[]
      requestHash: string
      actor?: string
    }
  | { type: 'cancel'; fractal: string; reason: string }
  /**
   * `imageLost`: the image of a completed fractal is missing or damaged, so that it is rendered again. `pixelChecksum`:
   * of the image that it ever had, if it had one; a later one has the same pixels or is none.
   */
  | { type: 'retry'; fractal: string; imageLost: boolean; pixelChecksum: string | null; actor?: string }
  | { type: 'delete'; fractal: string }

/**
 * What a command leads to, given the state on the leader. An empty list: nothing to do, the state is already so.
 * Throws `not-found`, `removed`, `already-exists` or `illegal-transition`.
 */
export function decide(command: Command, task: Task): NewEvent[] {
  const { fractal } = command
  switch (command.type) {
    case 'request':
      if (task.status === 'deleted') throw gone('request', fractal)
      if (!isFractal(task)) {
        const { params, chosen, requestHash, actor } = command
        const data = { generation: 1, cause: 'created' as const, params, chosen, requestHash, ...(actor && { actor }) }
        return [{ type: 'TaskRequested', fractal, data }]
      }
      if (isSameRequest(command, task)) return []
      throw new FaafoError(
        'already-exists',
        `cannot request fractal '${fractal}': its uuid is taken by another request`,
      )
    case 'cancel': {
      const existing = mustExist('cancel', fractal, task)
      if (existing.status === 'cancelled') return []
      if (isFinished(existing.status))
        throw illegal('cancel', existing, 'only one that is not finished can be cancelled')
      const data = { generation: existing.generation, reason: command.reason }
      return [{ type: 'TaskCancelled', fractal, data }]
    }
    case 'retry': {
      const existing = mustExist('retry', fractal, task)
      const mend = existing.status === 'completed' && command.imageLost
      if (existing.status !== 'failed' && existing.status !== 'cancelled' && !mend) {
        throw illegal('retry', existing, 'only one that failed, was cancelled or lost its image can be retried')
      }
      const data: EventData['TaskRequested'] = {
        generation: existing.generation + 1,
        cause: mend ? 'image-lost' : 'retry',
        params: existing.params,
        chosen: [...existing.chosen],
        requestHash: existing.requestHash,
        ...(command.pixelChecksum !== null && { expectedPixelChecksum: command.pixelChecksum }),
        ...(command.actor && { actor: command.actor }),
      }
      return [{ type: 'TaskRequested', fractal, data }]
    }
    case 'delete': {
      if (!isFractal(task)) return []
      const { generation } = task
      const cancelled: NewEvent = { type: 'TaskCancelled', fractal, data: { generation, reason: 'deleted' } }
      const removed: NewEvent = { type: 'TaskDeleted', fractal, data: {} }
      return isFinished(task.status) ? [removed] : [cancelled, removed]
    }
  }
}

/** The same request again: the same fields, where a Julia constant that we chose is no difference. */
function isSameRequest(command: Extract<Command, { type: 'request' }>, task: Fractal): boolean {
  const mine = command.params
  const same = (['width', 'height', 'iterations', 'xa', 'xb', 'ya', 'yb'] as const).every(
    (field) => mine[field] === task.params[field],
  )
  if (!same) return false
  if (command.chosen.includes('cx')) return task.chosen.includes('cx')
  return mine.cx === task.params.cx && mine.cy === task.params.cy
}

function mustExist(action: string, uuid: string, task: Task): Fractal {
  if (isFractal(task)) return task
  if (task.status === 'deleted') throw gone(action, uuid)
  throw new FaafoError('not-found', `cannot ${action} fractal '${uuid}': there is none of that uuid`)
}

const gone = (action: string, uuid: string) =>
  new FaafoError('removed', `cannot ${action} fractal '${uuid}': it was deleted, and a deleted uuid stays deleted`)

const illegal = (action: string, task: Fractal, rule: string) =>
  new FaafoError('illegal-transition', `cannot ${action} fractal '${task.uuid}': it is ${task.status}; ${rule}`, {
    details: { status: task.status },
  })
