import { eq } from 'drizzle-orm'
import type { Context } from 'hono'
import { idPrefixOf, parseCursor } from '../../events/cursor.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { type Fractal, isFractal } from '../../events/task.ts'
import { readCheckpoint as checkpointOf } from '../platform/checkpoint.ts'
import { type Db, isUndefinedTable, querying } from '../platform/database.ts'
import { fractalOf } from '../platform/fractal-row.ts'
import { fractal } from '../platform/schema.ts'
import type { Api } from './api.ts'
import { withinTime } from './time-limit.ts'

/** Longer than any page takes where the machine has much else to do; a database that hangs is answered for then. */
const QUERY_MS = 5_000
/** What takes longer is left unchecked. */
const CHECK_MS = 900

/** Runs a query. Throws `database-unavailable`, also where no answer comes in time. */
export async function query<T>(action: string, run: () => Promise<T>): Promise<T> {
  const late = () => new FaafoError('database-unavailable', `cannot ${action}: the database did not answer in time`)
  try {
    return await withinTime(QUERY_MS, querying(action, run), late)
  } catch (error) {
    if (!isUndefinedTable(error)) throw error
    throw new FaafoError('database-unavailable', `cannot ${action}: the database is not set up yet`, { cause: error })
  }
}

/**
 * Waits until the tables hold what this api wrote (a second at most, then the read goes on), and what `min_seq` asks
 * for. Throws `projection-behind`, `database-unavailable`, or `log-replaced` where `min_seq` is of another log.
 */
export async function awaitFresh(api: Api, c: Context): Promise<void> {
  const text = c.req.query('min_seq')
  if (text === undefined) return api.freshness.settled()
  const cursor = await checkedCursor(api, text)
  const [reached] = await Promise.all([api.freshness.reached(cursor.seq), api.freshness.settled()])
  if (reached) return
  throw new FaafoError('projection-behind', `cannot read as of event ${cursor.seq}: the tables are not so far yet`)
}

/**
 * A cursor that was taken from this log. One with an event's digits is compared with the event there, while the
 * broker can be reached. Throws `invalid-request`, `log-replaced`.
 */
export async function checkedCursor(api: Api, text: string): Promise<{ seq: number }> {
  const { seq, idPrefix } = parseCursor(text)
  if (idPrefix === null || seq === 0 || !api.broker.isConnected()) return { seq }
  try {
    const event = await withinTime(
      CHECK_MS,
      api.log.messageAt(seq),
      () => new FaafoError('log-unavailable', 'too late'),
    )
    if (event && idPrefixOf(event.id) === idPrefix) return { seq }
  } catch (error) {
    if (isFaafoError(error, 'log-unavailable')) return { seq }
    throw error
  }
  throw new FaafoError(
    'log-replaced',
    `cannot go on from '${text}': it is of another log than the one here; begin anew, without it`,
  )
}

/**
 * One fractal from the tables or, where they lack it, from the log: what was just created is found. null where there
 * is none. Throws `database-unavailable`, and `log-unavailable` where only the log could tell.
 */
export async function findFractal(api: Api, uuid: string): Promise<Fractal | null> {
  const [row] = await query('read the fractal', () => api.db.select().from(fractal).where(eq(fractal.uuid, uuid)))
  if (row) return fractalOf(row)
  const task = await api.log.load(uuid)
  return isFractal(task) ? task : null
}

/** The projection's checkpoint; null before the projector's first. */
export const readCheckpoint = (db: Db) => query('read the checkpoint', () => checkpointOf(db))
