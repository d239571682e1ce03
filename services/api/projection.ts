import { count } from 'drizzle-orm'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { heldEvent } from '../platform/schema.ts'
import type { Api } from './api.ts'
import { query, readCheckpoint } from './reading.ts'
import type { Ready } from './schemas.ts'
import { withinTime } from './time-limit.ts'

/** Longer than this is no hiccup. */
const LAG_DEGRADED_S = 5
const MEASURE_MS = 1_500

type Projection = Ready['projection']

/** How far the tables are behind the log. Never throws: what keeps it from telling is the reason. */
export async function projectionHealth(api: Api): Promise<Projection> {
  try {
    return await withinTime(MEASURE_MS, measure(api), () => new FaafoError('log-unavailable', 'too late'))
  } catch (error) {
    const reason = isFaafoError(error) ? reasonOf(error) : 'it cannot be told'
    if (!isFaafoError(error)) api.logger.error({ err: error }, 'projection lag not known')
    return { status: 'degraded', reason, seq: null, lag_events: null, lag_seconds: null, parked: null }
  }
}

const reasonOf = (error: FaafoError) =>
  error.code === 'database-unavailable' ? 'the database cannot be reached' : 'the log cannot be reached'

async function measure(api: Api): Promise<Projection> {
  const [row, head, parked] = await Promise.all([readCheckpoint(api.db), api.log.head(), countParked(api)])
  const seq = row?.seq ?? 0
  const lag_events = Math.max(0, head.lastSeq - seq)
  const lag_seconds = lag_events > 0 ? await ageOf(api, seq + 1) : 0
  const known = { seq, lag_events, lag_seconds, parked }
  if (row?.halted) return { ...known, status: 'degraded', reason: `the projector halted: ${row.halted}` }
  if (lag_seconds > LAG_DEGRADED_S) {
    const behind = `${lag_events} events and ${Math.round(lag_seconds)} s`
    return { ...known, status: 'degraded', reason: `the tables are ${behind} behind the log` }
  }
  if (parked === 0) return { ...known, status: 'ok' }
  const some = parked === 1 ? '1 event is' : `${parked} events are`
  return { ...known, status: 'degraded', reason: `${some} parked: see faafo replay park list --kind event` }
}

async function countParked({ db }: Api): Promise<number> {
  const [row] = await query('count what is parked', () => db.select({ n: count(heldEvent.error) }).from(heldEvent))
  return row?.n ?? 0
}

/** Seconds since an event came into this log, whether or not it can be read. */
async function ageOf({ log }: Api, seq: number): Promise<number> {
  const event = await log.messageAt(seq)
  return event ? Math.max(0, (Date.now() - (event.storedAt ?? event.recordedAt)) / 1000) : 0
}
