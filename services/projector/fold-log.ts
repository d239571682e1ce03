import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import type { Parked } from '../../events/parked.ts'
import type { Broker } from '../platform/broker.ts'
import { readCheckpoint } from '../platform/checkpoint.ts'
import { type Db, rootCause } from '../platform/database.ts'
import type { Log } from '../platform/log.ts'
import { type LogPosition, positionAfter, readLog, verifyPosition } from '../platform/log-reader.ts'
import type { Logger } from '../platform/logger.ts'
import { migrateDatabase } from '../platform/migrate.ts'
import { droppedEvents, loadParked, parkedEvents } from '../platform/parked-events.ts'
import { liveModel, PROJECTION_VERSION } from '../platform/read-model.ts'
import type { CheckpointRow } from '../platform/schema.ts'
import { pause } from '../platform/shutdown.ts'
import type { StoredMessage } from '../platform/slots.ts'
import { applyBatch, type Copy, goPast, type Prepared, prepareBatch } from './apply-batch.ts'
import { openCheckpoint, positionOf, writeHalted } from './checkpoint.ts'
import { type Exceptions, plainId, readHeldBack, rowOfParked } from './held-events.ts'
import type { Observer } from './project.ts'

export type ProjectorParts = { db: Db; broker: Broker; log: Log; logger: Logger }

/** Events of one transaction at most. Two are in memory, one of them on its way to the tables, while a third one is read. */
const BATCH = 2_500

/** Messages that are asked for at a time, at least: each time the broker is waited for. */
const LEAST_PULLED = 1_000

/** Longest wait at the end of the log for more events. */
const MOST_GATHERING_MS = 100

export type FoldOptions = {
  signal: AbortSignal
  /** The served one where none is given. */
  copy?: Copy
  until?: number
  /** Events of one transaction at most, where not as many as usual. */
  batchSize?: number
  /** How they come into the tables, where not by statements. */
  prepare?: Prepare
  /** Has the tables come to the position that was reached, where what was prepared may be behind it. */
  settle?: (position: LogPosition) => Promise<void>
  /** Hears the checkpoint that it begins at. */
  onOpen?: (row: CheckpointRow) => void
  onProgress?: (position: LogPosition) => void
  /** Asked at every new position, and at the first where it is the log's end: yes ends it. */
  isDone?: (position: LogPosition) => Promise<boolean>
  /** Hears of an event more than once where the database was away meanwhile. */
  observe?: Observer | undefined
  /** What was decided about an event that cannot be read or stored; what operators recorded where nothing is given. */
  decisionOn?: DecisionOn | undefined
}

export type Folding = { observe?: Observer | undefined; exceptions?: Exceptions }

/**
 * Works out what a batch does to the tables, while the one before it is on its way to them; resolves to what brings them
 * from the position before it to the one after it, and throws as `applyBatch`.
 */
export type Prepare = (
  events: readonly RecordedEvent[],
  folding: Folding,
) => Promise<(from: LogPosition) => Promise<LogPosition>>

/** null: nobody is to go on past it. */
export type DecisionOn = (message: StoredMessage, error: FaafoError) => Promise<Parked | null>

/**
 * Folds the log into a read model from the checkpoint on, until `signal` fires (the batch in hand is finished) or the
 * checkpoint has reached `until`. `onProgress` hears of every new position, and of the first where it is the log's
 * end. It goes on past an event that it cannot read or store only where that was decided: the later events of that fractal
 * are then held back, unless the event was dropped. Throws `fence-lost`, `database-unavailable`, `log-unavailable` (while the
 * log is only read, that is waited out), and, where the table cannot follow the log, `log-replaced` or `undecodable-event`.
 */
export async function foldLog(parts: ProjectorParts, options: FoldOptions): Promise<void> {
  for (;;) {
    try {
      return await foldOn(parts, options)
    } catch (error) {
      if (!isFaafoError(error, 'undecodable-event') || !(await wentPast(parts, options, error))) throw error
    }
  }
}

/** Goes past the event that could not be handled; false where nobody decided so. Those before it were applied. */
async function wentPast(
  { db, broker, log }: ProjectorParts,
  options: FoldOptions,
  error: FaafoError,
): Promise<boolean> {
  const decisionOn = options.decisionOn ?? ((message) => loadParked(parkedEvents(broker), message))
  const message = await log.messageAt(Number(error.details.seq))
  const parked = message && (await decisionOn(message, error))
  if (!parked) return false
  const row = await openRow(db, options.copy)
  const { seq, storedAt, recordedAt } = message
  if (row.seq !== seq - 1)
    throw new FaafoError('fence-lost', `cannot go past event ${seq}: the checkpoint is not there`)
  const copy = options.copy ?? { model: liveModel, epoch: row.epoch }
  const from = { ...positionOf(row), streamCreated: (await log.head()).created }
  const next = { ...positionAfter(from, message), id: plainId(message) }
  const time = storedAt === undefined ? next.time : recordedAt
  await goPast(db, copy, from, next, parked.status === 'dropped' ? null : rowOfParked(message, parked, time))
  return true
}

async function foldOn(
  { db, broker, log, logger }: ProjectorParts,
  {
    signal,
    copy: asked,
    until,
    batchSize = BATCH,
    prepare: askedPrepare,
    settle = async () => {},
    onOpen = () => {},
    observe,
    onProgress = () => {},
    isDone = async () => false,
  }: FoldOptions,
): Promise<void> {
  await migrateDatabase(db)
  const row = await openRow(db, asked)
  const copy: Copy = asked ?? { model: liveModel, epoch: row.epoch }
  onOpen(row)
  const head = await verifyPosition(log, positionOf(row))
  let position: LogPosition = { ...positionOf(row), streamCreated: head.created }
  if (position.seq === head.lastSeq) {
    if (row.halted !== null) await writeHalted(db, position.seq, null, copy.model)
    onProgress(position)
    if (await isDone(position)) return
  }
  const end = until ?? Number.POSITIVE_INFINITY
  if (position.seq >= end) return
  const [heldBack, dropped] = await Promise.all([readHeldBack(db, copy.model), droppedEvents(broker)])
  const folding = { observe, exceptions: { heldBack, dropped } }
  const prepare = askedPrepare ?? inStatements(db, copy)
  const stop = new AbortController()
  const pulled = Math.max(2 * batchSize, LEAST_PULLED)
  const batches = readLog(
    { broker, log, logger },
    { from: position, until, signal: AbortSignal.any([signal, stop.signal]), batchSize, pulled },
  )
  /** The batch before the one in hand, on its way to the tables. */
  let writing: Promise<LogPosition> | undefined
  /** Whether it is the last one that is wanted. */
  async function written(): Promise<boolean> {
    if (!writing) return false
    position = await writing
    writing = undefined
    onProgress(position)
    return signal.aborted || position.seq >= end || isDone(position)
  }
  try {
    const upcoming = paced(batches, batchSize, signal)
    for (;;) {
      const next = upcoming.next()
      next.catch(() => {}) // thrown once it is awaited, if ever
      // Another batch is prepared while the one before is written, if it comes in time.
      const isWritten = writing && (await Promise.race([writing.then(() => true), next.then(() => false)]))
      if (isWritten && (await written())) return
      const { done, value: batch } = await next
      if (done) break
      const write = await prepare(batch, folding)
      if (await written()) return
      writing = write(position)
      writing.catch(() => {}) // thrown once it is awaited
      if (batch.length < batchSize && (await written())) return
    }
    await written()
  } catch (error) {
    // It may be gone past, from the checkpoint before it.
    if (isFaafoError(error, 'undecodable-event')) {
      if (await written()) return
      await settle(position)
    }
    throw error
  } finally {
    // In this order: its end waits for a batch that is on its way.
    stop.abort()
    await batches.return()
    await writing?.catch(() => {})
  }
}

const openRow = (db: Db, copy: Copy | undefined) => (copy ? requireCopy(db, copy) : openLive(db))

/** Throws `fence-lost` where a newer version of the projection made the served rows: they are not ours to change. */
async function openLive(db: Db): Promise<CheckpointRow> {
  const row = await openCheckpoint(db)
  if (row.version <= PROJECTION_VERSION) return row
  throw new FaafoError(
    'fence-lost',
    `cannot project: version ${row.version} of the projection made the table, this program knows ${PROJECTION_VERSION}`,
  )
}

/** Throws `fence-lost` where another copy is in its place. */
async function requireCopy(db: Db, { model, epoch }: Copy): Promise<CheckpointRow> {
  const row = await readCheckpoint(db, model)
  if (row?.epoch === epoch) return row
  throw new FaafoError('fence-lost', 'cannot go on: another read model is in its place')
}

/**
 * The same batches. While a full one is in use the next is on its way. After another one, at the end of the log, the
 * next is given a millisecond to gather for each event that there was: few large transactions cost far less than many
 * small ones, and of what a fractal goes through meanwhile only the end is written.
 */
async function* paced(
  batches: AsyncIterator<RecordedEvent[]>,
  batchSize: number,
  signal: AbortSignal,
): AsyncGenerator<RecordedEvent[]> {
  let next = batches.next()
  for (;;) {
    const { done, value: batch } = await next
    if (done) return
    if (batch.length < batchSize) {
      yield batch
      await pause(Math.min(batch.length, MOST_GATHERING_MS), signal)
      next = batches.next()
    } else {
      next = batches.next()
      next.catch(() => {}) // thrown once it is awaited, if ever
      yield batch
    }
  }
}

function inStatements(db: Db, copy: Copy): Prepare {
  let carried: Prepared['states'] | undefined
  return async (events, folding) => {
    const prepared = await prepareBatch(db, copy, events, { ...folding, carried })
    carried = prepared.states
    return (from) => apply(db, copy, from, events, prepared, folding)
  }
}

/** Where the database refuses what an event would make of a row, the events before it are applied and that one is named. */
async function apply(
  db: Db,
  copy: Copy,
  from: LogPosition,
  events: readonly RecordedEvent[],
  prepared: Prepared,
  folding: Folding,
): Promise<LogPosition> {
  const [first, ...others] = events
  if (!first) return from
  try {
    return await applyBatch(db, copy, from, [first, ...others], prepared)
  } catch (error) {
    const cause = rootCause(error)
    if (!isRefusal(cause)) throw error
    if (others.length === 0) throw refused(first, cause)
  }
  let position = from
  for (const event of events) {
    position = await apply(db, copy, position, [event], await prepareBatch(db, copy, [event], folding), folding)
  }
  return position
}

/** An event of which the database refuses what it would make of a row. */
export const refused = ({ seq, id, type }: RecordedEvent, cause: Error): FaafoError =>
  new FaafoError('undecodable-event', `cannot store event ${seq}: ${cause.message}`, {
    cause,
    details: { seq, eventId: id, eventType: type },
  })

/** SQLSTATE classes data exception, integrity constraint violation, program limit exceeded. */
export const isRefusal = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && /^(22|23|54)/.test(String(error.code))
