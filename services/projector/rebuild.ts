import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { Log } from '../platform/log.ts'
import { type LogPosition, readLog, startOfLog, verifyPosition } from '../platform/log-reader.ts'
import { migrateDatabase } from '../platform/migrate.ts'
import { nextModel, previousModel, type ReadModel } from '../platform/read-model.ts'
import { pause } from '../platform/shutdown.ts'
import { openCheckpoint, positionOf, readCheckpoint } from './checkpoint.ts'
import { compareModels, type Difference } from './compare-models.ts'
import { foldLog, type ProjectorParts } from './fold-log.ts'
import { beginNext, dropNext, indexNext, putBack, takeOver } from './next-model.ts'
import type { Observer } from './project.ts'

const TAKE_OVER_AGAIN_MS = 50

export type Rebuilt = {
  /** Sequence that the new rows stand at. */
  seq: number
  fractals: number
  /** How many of the rows that were served were wrong, and the first of them. */
  differing: number
  differences: Difference[]
}

type Options = {
  signal: AbortSignal
  /** Whether the new rows take over; else they are dropped once they have been compared. */
  takesOver: boolean
  onProgress?: (progress: { seq: number; lastSeq: number }) => void
  observe?: Observer
}

/**
 * Folds the whole log into a new read model beside the one that is served, compares the two, and has the new one take
 * over in one transaction; the one before is kept for `rollBack`. Meanwhile requests are served and events projected as
 * ever, and no reader ever meets a half-built table. Whatever log is there is taken, so this is also the way on after a
 * log was replaced.
 *
 * May be killed at any moment: what is served is untouched until the one transaction, and the next rebuild begins anew.
 * Of two at a time the later one wins. Throws as `foldLog` (`fence-lost`: another rebuild was begun), and `aborted`.
 */
export async function rebuild(parts: ProjectorParts, { takesOver, ...options }: Options): Promise<Rebuilt> {
  const { db, log } = parts
  const { signal } = options
  await migrateDatabase(db)
  const served = positionOf(await openCheckpoint(db))
  const replaces = (await isOfThisLog(log, served)) ? undefined : served
  await beginNext(db)
  try {
    await catchUp(parts, nextModel, options)
    await indexNext(db)
    let position = await catchUp(parts, nextModel, options)
    const compared = await compare()
    if (!takesOver) await dropNext(db)
    else
      while (!(await takeOver(db, position, replaces))) {
        await pause(TAKE_OVER_AGAIN_MS, signal)
        position = await catchUp(parts, nextModel, options)
      }
    return { ...compared, seq: position.seq }
  } catch (error) {
    if (!isFaafoError(error, 'fence-lost')) await dropNext(db).catch(() => {}) // the next rebuild does so as well
    throw error
  }

  /** Rows that one of the two dropped already, since they stand at different events, are no differences. */
  async function compare() {
    const { live, next, rows, differing, differences } = await compareModels(db)
    if (replaces || differing === 0 || live === next) return { fractals: rows, differing, differences }
    const moving = await touchedBetween(Math.min(live, next), Math.max(live, next))
    const real = differences.filter(({ uuid }) => !moving.has(uuid))
    return { fractals: rows, differing: differing - (differences.length - real.length), differences: real }
  }

  /** Fractals that the events after the first and up to the second sequence belong to. */
  async function touchedBetween(after: number, last: number): Promise<Set<string>> {
    const touched = new Set<string>()
    const done = new AbortController()
    const from = { ...startOfLog, seq: after }
    for await (const batch of readLog(parts, { from, signal: AbortSignal.any([signal, done.signal]) })) {
      for (const event of batch) if (event.seq <= last) touched.add(event.fractal)
      if ((batch.at(-1)?.seq ?? 0) >= last) done.abort()
    }
    return touched
  }
}

/**
 * Puts the read model that was served before the last rebuild back, once it has been brought up to date; the two change
 * places, so that a second one undoes the first. Throws `not-found` where none is kept, `log-replaced` where it is of
 * another log, and as `foldLog`.
 */
export async function rollBack(parts: ProjectorParts, options: Omit<Options, 'takesOver'>): Promise<{ seq: number }> {
  const { db } = parts
  await migrateDatabase(db)
  if (!(await readCheckpoint(db, previousModel))) {
    throw new FaafoError('not-found', 'cannot roll back: no table from before a rebuild is kept')
  }
  for (;;) {
    const position = await catchUp(parts, previousModel, options)
    if (await putBack(db, position)) return position
    await pause(TAKE_OVER_AGAIN_MS, options.signal)
  }
}

/** To the end that the log has now. */
async function catchUp(
  parts: ProjectorParts,
  model: ReadModel,
  { signal, observe, onProgress = () => {} }: Omit<Options, 'takesOver'>,
): Promise<LogPosition> {
  const { lastSeq } = await parts.log.head()
  try {
    await foldLog(parts, {
      model,
      signal,
      observe,
      until: lastSeq,
      onProgress: ({ seq }) => onProgress({ seq, lastSeq }),
    })
  } catch (error) {
    if (isFaafoError(error, 'fence-lost')) throw superseded(error)
    throw error
  }
  if (signal.aborted) throw new FaafoError('aborted', 'cannot go on: it was interrupted; nothing was changed')
  const row = await readCheckpoint(parts.db, model)
  if (!row) throw superseded()
  return positionOf(row)
}

async function isOfThisLog(log: Log, position: LogPosition): Promise<boolean> {
  try {
    await verifyPosition(log, position)
    return true
  } catch (error) {
    if (isFaafoError(error, 'log-replaced')) return false
    throw error
  }
}

const superseded = (cause?: unknown) =>
  new FaafoError('fence-lost', 'cannot finish the rebuild: another one was begun meanwhile', { cause })
