import { FaafoError } from '../../events/errors.ts'
import type { Envelope, NewEvent, RecordedEvent } from '../../events/events.ts'
import { evolve, fold, isFractal, type Task } from '../../events/task.ts'
import type { Appended, Log } from './log.ts'

/** Decisions made anew after a lost race, each on what the winner left. */
const TRIES = 5

export type ChangeParts = Pick<Log, 'history'> & {
  append(event: NewEvent, links: Pick<Envelope, 'correlationid' | 'causationid'>): Promise<Appended>
}

/** What is to happen to a fractal, given everything that happened to it; null: it has to be read again. */
export type Decide = (history: RecordedEvent[], task: Task) => NewEvent[] | null | Promise<NewEvent[] | null>

/**
 * Appends what is decided and resolves to the state that it led to. Lost races are decided anew. Each event follows
 * from the one before it, unless `cause` is given: the id of the event that all of them follow from. `action` is for
 * the message.
 * Throws what `decide` throws, `illegal-transition` where an event that was dropped holds the slot, and `log-unavailable`.
 */
export async function changeFractal(
  { history, append }: ChangeParts,
  { fractal, action, cause }: { fractal: string; action: string; cause?: string },
  decide: Decide,
): Promise<{ task: Task; changed: boolean }> {
  let holder: RecordedEvent | undefined
  for (let tries = 0; tries < TRIES; tries++) {
    const events = await history(fractal)
    if (holder && !events.some(({ id }) => id === holder?.id)) throw keptByDropped(fractal, action, holder)
    const task = fold(events)
    const decided = await decide(events, task)
    if (!decided) continue
    const end = await appendAll(append, task, decided, cause)
    if ('task' in end) return { ...end, changed: decided.length > 0 }
    holder = end.holder
  }
  throw new FaafoError('log-unavailable', `cannot ${action} fractal '${fractal}': others kept changing it; try again`, {
    details: { uuid: fractal },
  })
}

/** A slot is filled once, by an event that was dropped too. */
const keptByDropped = (fractal: string, action: string, { type, seq }: RecordedEvent) =>
  new FaafoError(
    'illegal-transition',
    `cannot ${action} fractal '${fractal}': the place of what would follow is that of ${type}, event ${seq}, which was dropped`,
    { details: { uuid: fractal } },
  )

/** The state after all of them, or who is found in the place of one. */
async function appendAll(
  append: ChangeParts['append'],
  task: Task,
  decided: NewEvent[],
  cause: string | undefined,
): Promise<{ task: Task } | { holder: RecordedEvent }> {
  let after = task
  let causationid = cause ?? (isFractal(task) ? task.last.id : undefined)
  const correlationid = isFractal(task) ? task.first.id : undefined
  for (const event of decided) {
    const links = { ...(correlationid && { correlationid }), ...(causationid && { causationid }) }
    const appended = await append(event, links)
    if (!appended.won) return { holder: appended.event }
    causationid = cause ?? appended.event.id
    after = evolve(after, appended.event)
  }
  return { task: after }
}
