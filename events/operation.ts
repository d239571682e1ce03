import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { Kind, NewAggregateEvent, RecordedAggregateEvent } from './aggregate.ts'
import { FaafoError, isFaafoError } from './errors.ts'
import type { EventType, NewEvent, RecordedEvent } from './events.ts'
import { decide as decideTask, fold as foldTask, shownPixels } from './task.ts'

/*
 * A bulk operation: one command to every fractal that a filter matches, in the order of creation.
 *
 *   OperationRequested ──▶ requested ──OperationProgressed──▶ running ──────────┐
 *                              │            (again and again)    │              ├─OperationEnded──▶ completed | cancelled | failed
 *                              └───────OperationStopRequested────┴──▶ stopping ─┘
 *
 * It goes batch by batch, and a batch is named in the stream before any fractal of it is touched. Whoever goes on after
 * a crash looks at those of the newest batch again and finds in their histories what was done, so that each is dealt
 * with, and counted, once. Every event but the first tells all that happened so far: the first and the newest make the
 * state. None of them names a position in the log, which another log could not keep; they name events and fractals.
 */

export const actions = ['cancel', 'retry', 'delete'] as const
export type Action = (typeof actions)[number]

const count = z.int().min(0)
const countsSchema = z.object({
  /** By this operation. */
  changed: count,
  /** Those whose state did not allow it, or that did not match any more once it was their turn. */
  unchanged: count,
  /** Those that a newer version wrote, or of which events are held back or were dropped, so that nothing can be decided about them. */
  unreadable: count,
})
export type Counts = z.output<typeof countsSchema>

const progress = {
  /** How many matched at the beginning; null before that. */
  matched: count.nullable(),
  /** Of all batches but the one in hand. */
  counts: countsSchema,
  /** The fractals in hand. */
  batch: z.array(z.string()),
  /** The last fractal, in the order of creation, that was ever in hand. */
  last: z.string().nullable(),
}

export const operationKind = {
  name: 'operation',
  schemas: {
    OperationRequested: z.object({
      action: z.enum(actions),
      /** As the list of fractals takes them; none: every fractal. */
      filters: z.array(z.unknown()),
      /** Fractals changed in a second, at most; null: as fast as can be. */
      rate: z.number().positive().nullable(),
      /** The last event of the log by then: only fractals that were there count. null: the log was empty. */
      upTo: z.object({ fractal: z.string(), event: z.string() }).nullable(),
    }),
    OperationProgressed: z.object(progress),
    OperationStopRequested: z.object(progress),
    OperationEnded: z.object({
      ...progress,
      outcome: z.enum(['completed', 'cancelled', 'failed']),
      /** Why it failed. */
      reason: z.string().nullable(),
    }),
  },
  schemaVersions: { OperationRequested: 1, OperationProgressed: 1, OperationStopRequested: 1, OperationEnded: 1 },
  upcasters: {},
} satisfies Kind

export type OperationKind = typeof operationKind
export type NewOperationEvent = NewAggregateEvent<OperationKind>
export type OperationEvent = RecordedAggregateEvent<OperationKind>
type Requested = z.output<(typeof operationKind.schemas)['OperationRequested']>

export const operationStatuses = ['requested', 'running', 'stopping', 'completed', 'cancelled', 'failed'] as const
export type OperationStatus = (typeof operationStatuses)[number]

export type Operation = Requested & {
  id: string
  status: OperationStatus
  matched: number | null
  counts: Counts
  batch: readonly string[]
  last: string | null
  reason: string | null
  version: number
  /** Id of its first event, from which all follow that it appends to the log. */
  cause: string
  traceparent: string | undefined
  /** Unix milliseconds, by the clock of who took the request; those below by the broker's. */
  requestedAt: number
  updatedAt: number
  finishedAt: number | null
}

export const isOver = ({ status }: Pick<Operation, 'status'>) =>
  status === 'completed' || status === 'cancelled' || status === 'failed'

export const nothingYet: Counts = { changed: 0, unchanged: 0, unreadable: 0 }

const plus = (a: Counts, b: Counts): Counts => ({
  changed: a.changed + b.changed,
  unchanged: a.unchanged + b.unchanged,
  unreadable: a.unreadable + b.unreadable,
})

/** The state after `event`, null before the first. Total: what was seen already, or has no place, changes nothing. */
export function evolve(operation: Operation | null, event: OperationEvent): Operation | null {
  if (event.type === 'OperationRequested') {
    if (operation) return operation
    return {
      ...event.data,
      id: event.aggregate,
      status: 'requested',
      matched: null,
      counts: nothingYet,
      batch: [],
      last: null,
      reason: null,
      version: event.version,
      cause: event.id,
      traceparent: event.traceparent,
      requestedAt: Date.parse(event.time),
      updatedAt: event.recordedAt,
      finishedAt: null,
    }
  }
  if (!operation || isOver(operation) || event.version <= operation.version) return operation
  const { matched, counts, batch, last } = event.data
  const changed = { ...operation, matched, counts, batch, last, version: event.version, updatedAt: event.recordedAt }
  if (event.type === 'OperationProgressed') return { ...changed, status: 'running' }
  if (event.type === 'OperationStopRequested') return { ...changed, status: 'stopping' }
  const { outcome, reason } = event.data
  return { ...changed, status: outcome, reason, finishedAt: event.recordedAt }
}

export const fold = (events: Iterable<OperationEvent>): Operation | null => {
  let operation: Operation | null = null
  for (const event of events) operation = evolve(operation, event)
  return operation
}

export type OperationCommand =
  | ({ type: 'request' } & Requested)
  /** Of the batch in hand all but `rest` are dealt with, as `done` says; `next` come after all that were named so far. */
  | { type: 'advance'; matched: number | null; done: Counts; rest: readonly string[]; next: readonly string[] }
  | { type: 'stop' }
  /** Of the batch in hand so many are dealt with. */
  | { type: 'fail'; done: Counts; reason: string }

/**
 * What a command leads to; an empty list: the state is already so.
 * Throws `not-found`, `already-exists` or `illegal-transition`.
 */
export function decide(command: OperationCommand, id: string, operation: Operation | null): NewOperationEvent[] {
  if (command.type === 'request') {
    const { type: _, ...data } = command
    if (!operation) return [{ type: 'OperationRequested', aggregate: id, version: 1, data }]
    if (isSameRequest(command, operation)) return []
    throw new FaafoError('already-exists', `cannot begin operation '${id}': its id is taken by another one`)
  }
  if (!operation) throw new FaafoError('not-found', `cannot find operation '${id}': there is none of that id`)
  const at = { aggregate: id, version: operation.version + 1 }
  const { counts, batch, last, status } = operation
  const matched = (command.type === 'advance' ? command.matched : null) ?? operation.matched
  const ended = (outcome: 'completed' | 'cancelled' | 'failed', counts: Counts, reason: string | null = null) => [
    { ...at, type: 'OperationEnded' as const, data: { matched, counts, batch: [], last, outcome, reason } },
  ]
  switch (command.type) {
    case 'advance': {
      if (isOver(operation)) return []
      const total = plus(counts, command.done)
      if (status === 'stopping') return ended('cancelled', total)
      const { rest, next } = command
      if (rest.length + next.length === 0) return ended('completed', total)
      const data = { matched, counts: total, batch: [...rest, ...next], last: next.at(-1) ?? last }
      return [{ ...at, type: 'OperationProgressed', data }]
    }
    case 'stop': {
      if (status === 'stopping' || status === 'cancelled') return []
      if (isOver(operation)) {
        throw new FaafoError('illegal-transition', `cannot stop operation '${id}': it is ${status} already`, {
          details: { status },
        })
      }
      return [{ ...at, type: 'OperationStopRequested', data: { matched, counts, batch: [...batch], last } }]
    }
    case 'fail':
      return isOver(operation) ? [] : ended('failed', plus(counts, command.done), command.reason)
  }
}

/** Whether the same is asked for; when it was asked, and so what it goes up to, is no difference. */
const isSameRequest = (command: Omit<Requested, 'upTo'>, operation: Operation): boolean =>
  (['action', 'filters', 'rate'] as const).every((field) => isDeepStrictEqual(stored(command[field]), operation[field]))

/** As it comes back from the stream: -0 as 0, for one. */
const stored = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** The event that says that an action has been carried out. */
const lastOf: Readonly<Record<Action, EventType>> = {
  cancel: 'TaskCancelled',
  retry: 'TaskRequested',
  delete: 'TaskDeleted',
}

/**
 * What an operation means for one fractal. `done`: it has been changed by it already, whatever happened to it since.
 * `leave`: its state does not allow it. `begun`: an earlier executor did a part of it, and the rest is to follow.
 */
export type Verdict = { type: 'done' } | { type: 'leave' } | { type: 'change'; events: NewEvent[]; begun: boolean }

export function verdictOn(
  { id, action, cause }: Pick<Operation, 'id' | 'action' | 'cause'>,
  fractal: string,
  history: readonly RecordedEvent[],
): Verdict {
  const ours = history.filter(({ causationid }) => causationid === cause)
  if (ours.some(({ type }) => type === lastOf[action])) return { type: 'done' }
  try {
    const events = decideTask(commandOf(action, id, fractal, history), foldTask(history))
    return events.length > 0 ? { type: 'change', events, begun: ours.length > 0 } : { type: 'leave' }
  } catch (error) {
    if (isFaafoError(error)) return { type: 'leave' }
    throw error
  }
}

function commandOf(action: Action, id: string, fractal: string, history: readonly RecordedEvent[]) {
  if (action === 'cancel') return { type: 'cancel', fractal, reason: `asked for by bulk operation ${id}` } as const
  // Whether an image is lost is not looked at: those of completed fractals would all have to be read.
  if (action === 'retry') {
    return { type: 'retry', fractal, imageLost: false, pixelChecksum: shownPixels(history) } as const
  }
  return { type: 'delete', fractal } as const
}
