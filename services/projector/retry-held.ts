import { hostname } from 'node:os'
import { FaafoError, isFaafoError, messageOf } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import type { Parked } from '../../events/parked.ts'
import { readCheckpoint } from '../platform/checkpoint.ts'
import { type Db, rootCause } from '../platform/database.ts'
import { VERSION } from '../platform/identity.ts'
import { verifyPosition } from '../platform/log-reader.ts'
import { decideOn, droppedEvents, loadParked, parkedDataOf, parkedEvents } from '../platform/parked-events.ts'
import { liveModel, PROJECTION_VERSION, type ReadModel } from '../platform/read-model.ts'
import type { HeldRow } from '../platform/schema.ts'
import { pause } from '../platform/shutdown.ts'
import { type Copy, letGo } from './apply-batch.ts'
import { positionOf } from './checkpoint.ts'
import { isRefusal, type ProjectorParts, refused } from './fold-log.ts'
import { noteTry, readFirstHeld, readHeldOf } from './held-events.ts'

/** What a try came to: how many events of the fractal count again, and the one that still cannot be handled, if any. */
export type Retried = { fractal: string; applied: number; stuck: Parked | null }

type Try = {
  fractal: string
  /** Events that can be applied, in the order of the log; null: it was dropped, wherever it stands. */
  steps: { row: HeldRow; event: RecordedEvent | null }[]
  stuck: { row: HeldRow; error: FaafoError } | null
}

/**
 * Tries again to apply what the tables (the served ones, where no others are named) hold back of these fractals, up to the first event that this program still
 * cannot handle. Where it is one that waited, it is parked now: the fractal was held back already.
 * May run beside any projector, and be killed at any moment: each fractal is whole or as it was. Says `asked` where an operator wants it, so that a try
 * which fails as the one before did is counted all the same.
 * Throws `fence-lost` (try again), `log-replaced`, `illegal-transition` where a newer projection made the tables,
 * `database-unavailable`, `log-unavailable`.
 */
export async function retryHeld(
  parts: ProjectorParts,
  fractals: string[],
  { asked, model = liveModel }: { asked: boolean; model?: ReadModel },
): Promise<Retried[]> {
  const { db, broker, log } = parts
  const row = await readCheckpoint(db, model)
  if (!row) return []
  if (row.version > PROJECTION_VERSION) {
    const reason = `version ${row.version} of the projection made the tables, this program knows ${PROJECTION_VERSION}`
    throw new FaafoError('illegal-transition', `cannot retry: ${reason}`)
  }
  await verifyPosition(log, positionOf(row))
  const parked = parkedEvents(broker)
  const dropped = await droppedEvents(broker)
  const rows = await readHeldOf(db, model, fractals)
  const tries = await Promise.all(
    fractals.map((fractal) =>
      readHeld(
        fractal,
        rows.filter((one) => one.fractal === fractal),
      ),
    ),
  )
  await applyTries(db, { model, epoch: row.epoch }, tries)
  return Promise.all(
    tries.map(async ({ fractal, steps, stuck }) => ({
      fractal,
      applied: steps.filter(({ event }) => event !== null).length,
      stuck: stuck && (await noteFailure(stuck)),
    })),
  )

  async function readHeld(fractal: string, held: HeldRow[]): Promise<Try> {
    const found: Try = { fractal, steps: [], stuck: null }
    for (const row of held) {
      const isDropped = dropped.has(row.cursor)
      if (found.stuck && !isDropped) continue
      try {
        found.steps.push({ row, event: isDropped ? null : await eventOf(row) })
      } catch (error) {
        if (!isFaafoError(error, 'undecodable-event')) throw error
        found.stuck = { row, error }
      }
    }
    return found
  }

  async function eventOf({ seq, time }: HeldRow): Promise<RecordedEvent> {
    const event = await log.at(seq)
    if (!event) throw new FaafoError('log-replaced', `cannot retry event ${seq}: it is not in the log`)
    return { ...event, recordedAt: time }
  }

  async function noteFailure({ row, error }: NonNullable<Try['stuck']>): Promise<Parked> {
    const source = `/projector/${hostname()}`
    const message = await log.messageAt(row.seq)
    if (!message) throw error
    const data = parkedDataOf(message, broker.names, error.message)
    const before = await loadParked(parked, message)
    const isNews = asked || before?.error !== error.message || before.program !== VERSION
    const command = before
      ? ({ type: 'retry-failed', id: row.cursor, data } as const)
      : ({ type: 'park', id: row.cursor, data } as const)
    const after = before && !isNews ? before : await decideOn(parked, command, source)
    await noteTry(db, model, row.seq, after)
    return after
  }
}

/** Where the database refuses one, those of the others, and those before it, are applied all the same. */
async function applyTries(db: Db, copy: Copy, tries: Try[]): Promise<Copy> {
  const steps = tries.flatMap((one) => one.steps)
  if (steps.length === 0) return copy
  try {
    return await letGoOf(db, copy, steps)
  } catch (error) {
    if (!isRefusal(rootCause(error))) throw error
  }
  let now = copy
  const [one, ...others] = tries
  if (one && others.length === 0) return applyOneByOne(db, now, one)
  for (const each of tries) now = await applyTries(db, now, [each])
  return now
}

async function applyOneByOne(db: Db, copy: Copy, one: Try): Promise<Copy> {
  let now = copy
  const done: Try['steps'] = []
  let refusal: Try['stuck'] = null
  for (const step of one.steps) {
    if (refusal && step.event) continue // those that were dropped are let go wherever they stand
    try {
      now = await letGoOf(db, now, [step])
      done.push(step)
    } catch (error) {
      const cause = rootCause(error)
      if (!isRefusal(cause) || !step.event) throw error
      refusal = { row: step.row, error: refused(step.event, cause) }
    }
  }
  one.steps = done
  one.stuck = refusal ?? one.stuck
  return now
}

const letGoOf = (db: Db, copy: Copy, steps: Try['steps']): Promise<Copy> =>
  letGo(
    db,
    copy,
    steps.flatMap(({ event }) => event ?? []),
    steps.map(({ row }) => row.seq),
  )

/** Tries everything that the tables hold back, once. Throws as `retryHeld`. */
export async function retryAllHeld(parts: ProjectorParts, model: ReadModel): Promise<void> {
  const fractals = (await readFirstHeld(parts.db, model)).map(({ fractal }) => fractal)
  for (let i = 0; i < fractals.length; i += AT_ONCE) {
    await retryHeld(parts, fractals.slice(i, i + AT_ONCE), { asked: false, model })
  }
}

/** Fractals that are tried in one transaction. */
const AT_ONCE = 100
const AGAIN_MS = 100
const MOST_AGAIN_MS = 2_000

/**
 * Tries again what is held back and not among the `tried` (cursors of events that could not be handled, to which it adds): a newer program
 * may know what the one before it did not. What waits for nothing any more, because its parked event was applied or dropped, is
 * always tried. Outages are waited out.
 */
export async function retryUntried(parts: ProjectorParts, tried: Set<string>, signal: AbortSignal): Promise<void> {
  const { db, broker, logger } = parts
  let failures = 0
  while (!signal.aborted) {
    try {
      const first = await readFirstHeld(db, liveModel)
      if (first.length === 0) return
      const dropped = await droppedEvents(broker)
      const isDue = ({ cursor, error }: HeldRow) => error === null || !tried.has(cursor) || dropped.has(cursor)
      const due = first.filter(isDue).slice(0, AT_ONCE)
      if (due.length === 0) return
      const fractals = due.map(({ fractal }) => fractal)
      const retried = await retryHeld(parts, fractals, { asked: false })
      for (const { stuck } of retried) if (stuck) tried.add(stuck.id)
      const applied = retried.filter(({ applied }) => applied > 0).length
      const parked = retried.filter(({ stuck }) => stuck !== null).length
      logger.info({ fractals: due.length, applied, parked }, 'tried what was held back again')
      failures = 0
    } catch (error) {
      const passes = isFaafoError(error, 'database-unavailable') || isFaafoError(error, 'log-unavailable')
      if (!isFaafoError(error, 'fence-lost')) {
        if (failures++ === 0) logger.warn({ reason: messageOf(rootCause(error)) }, 'cannot try what is held back again')
        if (!passes) return
      }
      await pause(Math.min(MOST_AGAIN_MS, AGAIN_MS * 2 ** failures), signal)
    }
  }
}
