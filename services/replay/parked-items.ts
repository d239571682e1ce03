import { and, asc, count, eq, gt } from 'drizzle-orm'
import type { Cursor } from '../../events/cursor.ts'
import { type ParkedRecord, parkedIdOf } from '../../events/parked.ts'
import { type Db, querying } from '../platform/database.ts'
import { migrateDatabase } from '../platform/migrate.ts'
import { parkedEvents } from '../platform/parked-events.ts'
import { type FractalRow, fractal, type HeldRow, heldEvent } from '../platform/schema.ts'
import type { ProjectorParts } from '../projector/fold-log.ts'
import { readHeldAt, readParked } from '../projector/held-events.ts'
import { messageOf } from './park-events.ts'

/** What waits for an operator: an event that a projector could not handle, or a task that exhausted its tries. */
export type ParkedItem = {
  kind: 'event' | 'task'
  /** A cursor, or the fractal's uuid. */
  id: string
  fractal: string
  /** Of the event. */
  type: string
  error: { code: string; message: string }
  /** Of the program that failed; null where that is not known. */
  version: string | null
  attempts: number
  /** RFC 3339. */
  since: string | null
}

export type ItemFilter = { kind?: 'event' | 'task' | undefined; types?: readonly string[]; code?: string | undefined }

const PAGE = 500

/**
 * Events in the order of the log, then tasks in the order in which they were requested; all of them unless there is a
 * `limit`. Throws `database-unavailable`.
 */
export async function listParked(
  db: Db,
  { limit, ...filter }: ItemFilter & { limit?: number | undefined } = {},
): Promise<ParkedItem[]> {
  await migrateDatabase(db)
  const found: ParkedItem[] = []
  for await (const item of itemsOf(db, filter)) {
    if (found.length === limit) break
    found.push(item)
  }
  return found
}

async function* itemsOf(db: Db, { kind, types = [], code }: ItemFilter): AsyncGenerator<ParkedItem, void> {
  const isAsked = (item: ParkedItem) =>
    (types.length === 0 || types.includes(item.type)) && (code === undefined || code === item.error.code)
  if (kind !== 'task') yield* (await readParked(db)).map(itemOfEvent).filter(isAsked)
  if (kind === 'event' || (types.length > 0 && !types.includes('TaskFailed'))) return
  for await (const row of failedTasks(db, code)) yield itemOfTask(row)
}

async function* failedTasks(db: Db, code: string | undefined): AsyncGenerator<FractalRow, void, undefined> {
  const isFailed = and(eq(fractal.status, 'failed'), code === undefined ? undefined : eq(fractal.errorCode, code))
  for (let after = 0; ; ) {
    const isNext = and(isFailed, gt(fractal.firstSeq, after))
    const rows = await querying('read the failed tasks', () =>
      db.select().from(fractal).where(isNext).orderBy(asc(fractal.firstSeq)).limit(PAGE),
    )
    const last = rows.at(-1)
    if (!last) return
    yield* rows
    after = last.firstSeq
  }
}

const itemOfEvent = ({ cursor, fractal, type, error, program, tries, since }: HeldRow): ParkedItem => ({
  kind: 'event',
  id: cursor,
  fractal,
  type,
  error: { code: 'undecodable-event', message: error ?? '' },
  version: program,
  attempts: tries,
  since: since?.toISOString() ?? null,
})

const itemOfTask = ({ uuid, errorCode, errorMessage, errorVersion, attempts, finishedAt }: FractalRow): ParkedItem => ({
  kind: 'task',
  id: uuid,
  fractal: uuid,
  type: 'TaskFailed',
  error: { code: errorCode ?? '', message: errorMessage ?? '' },
  version: errorVersion,
  attempts,
  since: finishedAt?.toISOString() ?? null,
})

export type ShownEvent = {
  id: string
  subject: string
  fractal: string | null
  /** `held`: by the served tables, with so many later events of its fractal. */
  status: 'parked' | 'dropped' | 'not parked'
  held: boolean
  waiting: number
  recordedAt: string
  headers: Record<string, string>
  /** As it stands in the log. */
  body: string
  /** What was decided and tried, oldest first. */
  decisions: { time: string; type: string; error: string | null; version: string | null; source: string }[]
}

/** One event as it stands in the log, whether or not anybody can read it. Throws `not-found`, `log-replaced`. */
export async function showEvent(parts: ProjectorParts, cursor: Cursor): Promise<ShownEvent> {
  await migrateDatabase(parts.db)
  const message = await messageOf(parts, cursor)
  const id = parkedIdOf(message)
  const [records, [row]] = await Promise.all([
    parkedEvents(parts.broker).history(id),
    readHeldAt(parts.db, [message.seq]),
  ])
  return {
    id,
    subject: message.subject,
    fractal: row?.fractal ?? (message.header('ce-subject') || parts.broker.names.fractalOf(message.subject)),
    status: statusOf(records),
    held: row !== undefined,
    waiting: row ? await countLaterHeld(parts.db, row) : 0,
    recordedAt: new Date(message.recordedAt).toISOString(),
    headers: Object.fromEntries(
      HEADERS.map((name) => [name, message.header(name)]).filter(([, value]) => value !== ''),
    ),
    body: message.body,
    decisions: records.map(({ type, data, recordedAt, source }) => ({
      time: new Date(recordedAt).toISOString(),
      type,
      error: 'error' in data ? data.error : null,
      version: 'program' in data ? data.program : null,
      source,
    })),
  }
}

const HEADERS = ['id', 'type', 'subject', 'schemaversion', 'source', 'time', 'correlationid', 'causationid'].map(
  (name) => `ce-${name}`,
)

const statusOf = (records: readonly ParkedRecord[]): ShownEvent['status'] => {
  if (records.length === 0) return 'not parked'
  return records.at(-1)?.type === 'EventDropped' ? 'dropped' : 'parked'
}

async function countLaterHeld(db: Db, { fractal, seq }: HeldRow): Promise<number> {
  const isLater = and(eq(heldEvent.fractal, fractal), gt(heldEvent.seq, seq))
  const [row] = await querying('count what is held back', () =>
    db.select({ n: count() }).from(heldEvent).where(isLater),
  )
  return row?.n ?? 0
}
