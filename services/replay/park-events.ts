import { hostname } from 'node:os'
import { type Cursor, idPrefixOf } from '../../events/cursor.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { type Parked, parkedIdOf } from '../../events/parked.ts'
import { readCheckpoint } from '../platform/checkpoint.ts'
import { migrateDatabase } from '../platform/migrate.ts'
import { decideOn, loadParked, parkedDataOf, parkedEvents } from '../platform/parked-events.ts'
import type { HeldRow } from '../platform/schema.ts'
import { pause } from '../platform/shutdown.ts'
import type { StoredMessage } from '../platform/slots.ts'
import { ensureStreams } from '../platform/streams.ts'
import type { ProjectorParts } from '../projector/fold-log.ts'
import { readHeldAt, readParked } from '../projector/held-events.ts'
import { type Retried, retryHeld } from '../projector/retry-held.ts'

/*
 * What an operator decides about events that a projector could not read or store. The decision goes into the second
 * stream; the projector goes by it within seconds, and so does whoever folds the log later.
 */

type Changing = { dryRun?: boolean }

const source = () => `/replay/${hostname()}`

/**
 * Has projectors go on past an event that this program cannot read, or at which the projector halted. Nothing is to do for
 * one that is parked, or was dropped, already. Throws `not-found`, `log-replaced` where the cursor is of another log, and
 * `illegal-transition` for an event that is none of these.
 */
export async function parkEvent(
  parts: ProjectorParts,
  cursor: Cursor,
  { dryRun = false }: Changing = {},
): Promise<Parked> {
  const { broker, db } = parts
  await migrateDatabase(db)
  const message = await messageOf(parts, cursor)
  const parked = parkedEvents(broker)
  const decided = await loadParked(parked, message)
  if (decided) return decided
  const id = parkedIdOf(message)
  const data = parkedDataOf(message, broker.names, await faultOf(parts, message))
  if (dryRun) return { ...data, id, status: 'parked', tries: 1, since: Date.now(), version: 1 }
  await ensureStreams(await broker.nc().jetstreamManager({ checkAPI: false }), broker.names, undefined) // an installation from before knows no such kind
  return decideOn(parked, { type: 'park', id, data }, source())
}

/**
 * Has an event count for nothing, for good, whoever reads the log; the later ones of its fractal are applied. One that
 * is not parked is so first. Throws as `parkEvent` and `retryEvents`, and `illegal-transition` where it was applied.
 */
export async function dropEvent(parts: ProjectorParts, cursor: Cursor, options: Changing = {}): Promise<Parked> {
  const { id, status, ...rest } = await parkEvent(parts, cursor, options)
  const [held] = await readHeldAt(parts.db, [cursor.seq])
  const row = await readCheckpoint(parts.db)
  if (status === 'parked' && !held && row && row.seq >= cursor.seq) throw applied('drop', id)
  if (options.dryRun) return { id, status: 'dropped', ...rest }
  const dropped = await decideOn(parkedEvents(parts.broker), { type: 'drop', id }, source())
  const isHeld = (await readHeldAt(parts.db, [cursor.seq])).length > 0 // a projector may have come to it meanwhile
  if (isHeld) await retried(parts, [dropped.fractal])
  return dropped
}

export type Pace = {
  signal: AbortSignal
  /** Events a second at most. */
  rate?: number | undefined
  onProgress?: (done: number, total: number) => void
}

/** Tried in one transaction. */
const AT_ONCE = 100
/** How often it is tried again where the tables were changed meanwhile. */
const TRIES = 10
const AGAIN_MS = 100

/** Tries parked events again, in this order; what each came to. Throws as `retryHeld`, `aborted`, and `invalid-request` for a rate that is none. */
export async function* retryEvents(
  parts: ProjectorParts,
  rows: readonly HeldRow[],
  { signal, rate = Number.POSITIVE_INFINITY, onProgress = () => {} }: Pace,
): AsyncGenerator<Retried & { cursor: string }, void, undefined> {
  if (!(rate > 0)) throw new FaafoError('invalid-request', `cannot retry ${rate} a second: expected a number above 0`)
  const size = Math.max(1, Math.min(AT_ONCE, Math.floor(rate)))
  const startedAt = Date.now()
  for (let done = 0; done < rows.length; ) {
    await pause(startedAt + (done / rate) * 1000 - Date.now(), signal)
    if (signal.aborted) throw new FaafoError('aborted', `cannot go on: it was interrupted after ${done} events`)
    const some = rows.slice(done, done + size)
    const fractals = [...new Set(some.map(({ fractal }) => fractal))]
    const outcomes = new Map((await retried(parts, fractals)).map((one) => [one.fractal, one]))
    done += some.length
    onProgress(done, rows.length)
    for (const { cursor, fractal } of some) yield { cursor, ...(outcomes.get(fractal) ?? none(fractal)) }
  }
}

const none = (fractal: string): Retried => ({ fractal, applied: 0, stuck: null })

/** All parked events, or those of some types, in the order of the log. */
export async function parkedRows({ db }: ProjectorParts, types?: readonly string[]): Promise<HeldRow[]> {
  await migrateDatabase(db)
  return (await readParked(db)).filter(({ type }) => !types || types.includes(type))
}

/** The parked event of a cursor. Throws `not-found` where it is not parked, or nobody came to it yet. */
export async function parkedRow({ db }: ProjectorParts, { seq, idPrefix }: Cursor): Promise<HeldRow> {
  await migrateDatabase(db)
  const [row] = await readHeldAt(db, [seq])
  if (row?.error != null && (idPrefix === null || row.cursor.endsWith(idPrefix))) return row
  const reason =
    row?.error === null ? 'it only waits for an earlier one that is parked' : 'the tables hold no such event back'
  throw new FaafoError('not-found', `cannot retry event '${cursorText({ seq, idPrefix })}': ${reason}`)
}

/** Whether this program could read a parked event now: null, or why not. */
export async function faultNow({ log }: ProjectorParts, seq: number): Promise<string | null> {
  try {
    await log.at(seq)
    return null
  } catch (error) {
    if (isFaafoError(error, 'undecodable-event')) return error.message
    throw error
  }
}

export async function messageOf({ log }: ProjectorParts, cursor: Cursor): Promise<StoredMessage> {
  const message = await log.messageAt(cursor.seq)
  if (!message) throw new FaafoError('not-found', `cannot find event '${cursorText(cursor)}': the log has none there`)
  const { idPrefix } = cursor
  if (idPrefix === null || idPrefixOf(message.id) === idPrefix) return message
  throw new FaafoError(
    'log-replaced',
    `cannot find event '${cursorText(cursor)}': the event there is '${parkedIdOf(message)}'`,
  )
}

const cursorText = ({ seq, idPrefix }: Cursor) => (idPrefix === null ? String(seq) : `${seq}-${idPrefix}`)

/** Why nobody can go on from there. Throws `illegal-transition` where somebody can. */
async function faultOf(parts: ProjectorParts, message: StoredMessage): Promise<string> {
  const { seq } = message
  const row = await readCheckpoint(parts.db)
  const halt = row?.seq === seq - 1 ? (row.halted?.split(' (cursor ')[0] ?? null) : null
  const fault = halt ?? (await faultNow(parts, seq))
  const id = parkedIdOf(message)
  if (fault === null) {
    throw new FaafoError(
      'illegal-transition',
      `cannot park event '${id}': it can be read, and no projector halted there`,
    )
  }
  if (row && row.seq >= seq) throw applied('park', id)
  return fault
}

const applied = (action: string, id: string) =>
  new FaafoError(
    'illegal-transition',
    `cannot ${action} event '${id}': it was applied to the tables, by a version of this program that can read it`,
  )

/** Where the tables are changed meanwhile, by a rebuild or another retry, once more. */
async function retried(parts: ProjectorParts, fractals: string[]): Promise<Retried[]> {
  for (let tries = 1; ; tries++) {
    try {
      return await retryHeld(parts, fractals, { asked: true })
    } catch (error) {
      if (tries === TRIES || !isFaafoError(error, 'fence-lost')) throw error
      await pause(AGAIN_MS)
    }
  }
}
