import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { parkedIdOf } from '../../events/parked.ts'
import { openBulkLoader } from '../platform/bulk-loader.ts'
import { readCheckpoint } from '../platform/checkpoint.ts'
import { type Db, rootCause } from '../platform/database.ts'
import type { Log } from '../platform/log.ts'
import { type LogPosition, startOfLog, verifyPosition } from '../platform/log-reader.ts'
import { migrateDatabase } from '../platform/migrate.ts'
import { checkModel, nextModel, PROJECTION_VERSION, previousModel } from '../platform/read-model.ts'
import type { Copy } from './apply-batch.ts'
import { bulkFold } from './bulk-fold.ts'
import { changeAtEnd, throwIfAborted } from './change-at-end.ts'
import { endVacuum, hasShapeOfServed, putBack, takeOver } from './change-places.ts'
import { openCheckpoint, positionOf } from './checkpoint.ts'
import { compareModels, type Difference } from './compare-models.ts'
import { analyzeCopy, beginCopy, dropCopy, emptyCopy, indexCopy, stopWork } from './copies.ts'
import { type FoldOptions, foldLog, isRefusal, type ProjectorParts } from './fold-log.ts'
import { retryAllHeld } from './retry-held.ts'

/** Indexes that are made at the same time, while the tables are compared. */
const INDEXED_AT_ONCE = 2

/** Events that are folded together: with few of them little is alive at a time, which the garbage collector likes. */
const PREPARED = 100

export type Compared = {
  /** Sequence that the new rows stand at. */
  seq: number
  fractals: number
  /** How many of the rows that are served are wrong, and the first of them. */
  differing: number
  differences: Difference[]
}

type Options = {
  signal: AbortSignal
  onProgress?: (progress: { seq: number; lastSeq: number }) => void
}

/**
 * Folds the whole log into a new read model beside the one that is served, compares the two, and has the new one take
 * over in one transaction; the one before is kept for `rollBack`. Meanwhile requests are served and events projected as
 * ever, and no reader ever meets a half-built table. Where the served one is of another log, one that was replaced or
 * lost its end, `acceptsLog` says whether that is to be made good so.
 *
 * May be killed at any moment: what is served is untouched until the one transaction, and the next rebuild begins anew.
 * Of two at a time the later one wins. Throws as `foldLog` (`fence-lost`: another rebuild was begun, or a migration
 * was), `log-replaced` where that is not accepted, `illegal-transition` where a newer program made the table, `aborted`.
 */
export function rebuild(
  parts: ProjectorParts,
  { acceptsLog = true, ...options }: Options & { acceptsLog?: boolean },
): Promise<Compared> {
  const { db } = parts
  return withCopy(parts, nextModel, async (copy, served, version) => {
    if (version > PROJECTION_VERSION) throw otherVersion('rebuild', version)
    const replaces = await astray(parts.log, served)
    if (replaces && !acceptsLog) throw replaces.error
    const { byCopy } = await fill(parts, copy, options)
    const compared = await working(db, copy, options, async () => {
      await analyzeCopy(db, copy)
      const comparing = () => compare(parts, copy, replaces !== undefined)
      if (byCopy) return (await Promise.all([comparing(), indexCopy(db, copy, INDEXED_AT_ONCE), endVacuum(db)]))[0]
      // The embedded database does one thing at a time, and meanwhile lets no further connection in.
      const compared = await comparing()
      await indexCopy(db, copy, 1)
      return compared
    })
    const { seq } = await catchUp(parts, copy, options)
    const last = await changeAtEnd(parts, copy, options, (position) => takeOver(db, copy, position, replaces && served))
    return { ...compared, seq: Math.max(seq, last) }
  })
}

/**
 * Folds the whole log into a read model of its own, says in which rows the served one differs, and drops it again.
 * `observe` hears every event that is applied. Throws as `rebuild`, and `illegal-transition` where another version of the projection made
 * the served rows, so that they may well differ.
 */
export function compareTable(
  parts: ProjectorParts,
  { observe, decisionOn, ...options }: Options & Pick<FoldOptions, 'observe' | 'decisionOn'>,
): Promise<Compared> {
  return withCopy(parts, checkModel, async (copy, served, version) => {
    if (version !== PROJECTION_VERSION) throw otherVersion('compare', version)
    const { seq } = await catchUp(parts, copy, options, { observe, decisionOn })
    const isOtherLog = (await astray(parts.log, served)) !== undefined
    const compared = await working(parts.db, copy, options, () => compare(parts, copy, isOtherLog))
    return { ...compared, seq }
  })
}

/**
 * Puts the read model that was served before the last rebuild back, once it has been brought up to date; the two change
 * places, so that a second one undoes the first. Throws `not-found` where none is kept,
 * `illegal-transition` where another version of the projection made it or the shape of the served tables is another by now, `log-replaced` where it is of another log, and as `foldLog`.
 * With `dryRun` it only looks: `seq` is where that table stands.
 */
export async function rollBack(
  parts: ProjectorParts,
  { dryRun = false, ...options }: Options & { dryRun?: boolean },
): Promise<{ seq: number }> {
  const { db, log } = parts
  await migrateDatabase(db)
  const row = await readCheckpoint(db, previousModel)
  if (!row) throw new FaafoError('not-found', 'cannot roll back: no table from before a rebuild is kept')
  if (row.version !== PROJECTION_VERSION) throw otherVersion('roll back', row.version)
  if (!(await hasShapeOfServed(db, previousModel))) {
    const reason =
      'columns or indexes of the served tables were changed since it was put away; use faafo replay rebuild'
    throw new FaafoError('illegal-transition', `cannot roll back: ${reason}`)
  }
  if (dryRun) {
    await verifyPosition(log, positionOf(row))
    return { seq: row.seq }
  }
  const served = positionOf(await openCheckpoint(db))
  const replaces = (await astray(log, served)) && served
  await catchUp(parts, { model: previousModel, epoch: row.epoch }, options)
  // What was held back when it was put away may have been dropped since, or be known by now: readers do not go back in time.
  await retryAllHeld(parts, previousModel)
  const copy: Copy = { model: previousModel, epoch: (await readCheckpoint(db, previousModel))?.epoch ?? row.epoch }
  return { seq: await changeAtEnd(parts, copy, options, (position) => putBack(db, copy, position, replaces)) }
}

/** Gives `use` an empty copy, the position that is served and its projection's version; what is left of it is dropped. */
async function withCopy<T>(
  parts: ProjectorParts,
  model: Copy['model'],
  use: (copy: Copy, served: LogPosition, version: number) => Promise<T>,
): Promise<T> {
  const { db } = parts
  await migrateDatabase(db)
  const row = await openCheckpoint(db)
  const copy = await beginCopy(db, model)
  try {
    return await use(copy, positionOf(row), row.version)
  } catch (error) {
    if (isFaafoError(error, 'undecodable-event')) throw withWayOut(error)
    if (!isFaafoError(error, 'fence-lost')) throw error
    const reason = `another one was begun meanwhile, or the table was changed (${error.message})`
    throw new FaafoError('fence-lost', `cannot finish: ${reason}`, { cause: error })
  } finally {
    await dropCopy(db, copy).catch(() => {}) // the next one in its place does so as well
  }
}

function withWayOut(error: FaafoError): FaafoError {
  const { code, message, details } = error
  const cursor = parkedIdOf({ seq: Number(details.seq), id: String(details.eventId ?? '') })
  const wayOut = `faafo replay park event ${cursor} has its fractal held back, and everything else go on`
  return new FaafoError(code, `${message}; ${wayOut}`, { cause: error, details })
}

/**
 * Folds the log into an empty copy, by COPY where the database takes it. Where it refuses a row, all is done again by
 * statements, which find the event that led to it.
 */
async function fill(parts: ProjectorParts, copy: Copy, options: Options): Promise<{ byCopy: boolean }> {
  const loader = await openBulkLoader(parts.db, parts.logger)
  const bulk = loader && bulkFold(parts.db, copy, loader)
  try {
    const position = await catchUp(
      parts,
      copy,
      options,
      bulk ? { prepare: bulk.prepare, settle: bulk.settle, batchSize: PREPARED } : {},
    )
    await bulk?.finish(position)
  } catch (error) {
    if (!bulk || !isRefusal(rootCause(error))) throw error
    await bulk.idle()
    await loader.close()
    await emptyCopy(parts.db, copy)
    await catchUp(parts, copy, options)
  } finally {
    await loader?.close()
  }
  return { byCopy: loader !== null }
}

/** To the end that the log has now. */
async function catchUp(
  parts: ProjectorParts,
  copy: Copy,
  { signal, onProgress = () => {} }: Options,
  folding: Pick<FoldOptions, 'observe' | 'decisionOn' | 'prepare' | 'settle' | 'batchSize'> = {},
): Promise<LogPosition> {
  const { lastSeq } = await parts.log.head()
  let position = startOfLog
  await foldLog(parts, {
    copy,
    signal,
    until: lastSeq,
    ...folding,
    onOpen: (row) => {
      position = positionOf(row)
    },
    onProgress: (reached) => {
      position = reached
      onProgress({ seq: reached.seq, lastSeq })
    },
  })
  throwIfAborted(signal)
  return position
}

/** What works on a copy for long; whoever interrupts does not wait for its end. */
async function working<T>(db: Db, copy: Copy, { signal }: Options, work: () => Promise<T>): Promise<T> {
  const stop = () => void stopWork(db, copy).catch(() => {}) // then its end is waited for
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await work()
  } catch (error) {
    throwIfAborted(signal)
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

async function compare({ db }: ProjectorParts, copy: Copy, isOtherLog: boolean): Promise<Omit<Compared, 'seq'>> {
  const { rows: fractals, differing, differences } = await compareModels(db, copy, isOtherLog)
  return { fractals, differing, differences }
}

/** Why the position is not of this log, where it is not. */
async function astray(log: Log, position: LogPosition): Promise<{ error: FaafoError } | undefined> {
  try {
    await verifyPosition(log, position)
    return undefined
  } catch (error) {
    if (isFaafoError(error, 'log-replaced')) return { error }
    throw error
  }
}

const otherVersion = (action: string, version: number) =>
  new FaafoError(
    'illegal-transition',
    `cannot ${action}: version ${version} of the projection made the table, this program has version ${PROJECTION_VERSION}`,
  )
