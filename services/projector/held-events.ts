import { and, asc, eq, inArray, isNotNull, lte, sql } from 'drizzle-orm'
import type { RecordedEvent } from '../../events/events.ts'
import { type Parked, parkedIdOf } from '../../events/parked.ts'
import { arrayText, type Db, querying } from '../platform/database.ts'
import { textOf } from '../platform/fractal-row.ts'
import type { ReadModel } from '../platform/read-model.ts'
import { type HeldRow, heldEvent } from '../platform/schema.ts'
import type { StoredMessage } from '../platform/slots.ts'

/** What is not applied although it can be read: events of fractals that are held back, and events that were dropped. */
export type Exceptions = {
  heldBack: ReadonlySet<string>
  /** By `parkedIdOf`. */
  dropped: ReadonlySet<string>
}

export const noExceptions: Exceptions = { heldBack: new Set(), dropped: new Set() }

/** Which of a batch are applied, and which are held back. */
export function sift(
  events: readonly RecordedEvent[],
  { heldBack, dropped }: Exceptions,
): { applied: readonly RecordedEvent[]; held: HeldRow[] } {
  if (heldBack.size === 0 && dropped.size === 0) return { applied: events, held: [] }
  const counting = dropped.size === 0 ? events : events.filter((event) => !dropped.has(parkedIdOf(event)))
  return {
    applied: counting.filter(({ fractal }) => !heldBack.has(fractal)),
    held: counting.filter(({ fractal }) => heldBack.has(fractal)).map(waiting),
  }
}

const waiting = (event: RecordedEvent): HeldRow => ({
  seq: event.seq,
  cursor: parkedIdOf(event),
  fractal: event.fractal,
  type: event.type,
  time: event.recordedAt,
  error: null,
  program: null,
  tries: 0,
  since: null,
})

/** The id of an event as a checkpoint can hold it; null for one that is none of ours. */
export const plainId = ({ seq, id }: StoredMessage): string | null =>
  parkedIdOf({ seq, id }) !== String(seq) && textOf(id) === id ? id : null

/** The row of an event that could not be handled. `time`: its time as the fold has it. */
export const rowOfParked = ({ seq }: StoredMessage, parked: Parked, time: number): HeldRow => ({
  ...{ seq, time, cursor: parked.id },
  fractal: textOf(parked.fractal) ?? '',
  type: textOf(parked.eventType) ?? '',
  ...triedOf(parked),
})

/** What the last try to handle it led to. */
export const triedOf = ({ error, program, tries, since }: Parked) => ({
  error: textOf(error),
  program,
  tries,
  since: new Date(since),
})

/** The fractals of which events are held back. */
export const readHeldBack = (db: Db, { held }: ReadModel): Promise<ReadonlySet<string>> =>
  querying('read what is held back', async () => {
    const rows = await db.selectDistinct({ fractal: held.fractal }).from(held)
    return new Set(rows.map(({ fractal }) => fractal))
  })

/** The first event that is held back of each fractal, in the order of the log. */
export const readFirstHeld = (db: Db, { held }: ReadModel): Promise<HeldRow[]> =>
  querying('read what is held back', () => {
    const first = db
      .select({ seq: sql`min(${held.seq})` })
      .from(held)
      .groupBy(held.fractal)
    return db.select().from(held).where(inArray(held.seq, first)).orderBy(asc(held.seq))
  })

/** The parked events among those that are held back of the served tables, in the order of the log. */
export const readParked = (db: Db): Promise<HeldRow[]> =>
  querying('read what is parked', () =>
    db.select().from(heldEvent).where(isNotNull(heldEvent.error)).orderBy(asc(heldEvent.seq)),
  )

/** What the served tables hold back at these sequences. */
export const readHeldAt = (db: Db, seqs: readonly number[]): Promise<HeldRow[]> =>
  querying('read what is held back', () =>
    db
      .select()
      .from(heldEvent)
      .where(inArray(heldEvent.seq, [...seqs])),
  )

/** All events that are held back of these fractals, in the order of the log. */
export const readHeldOf = (db: Db, { held }: ReadModel, fractals: string[]): Promise<HeldRow[]> =>
  querying('read what is held back', () =>
    db
      .select()
      .from(held)
      .where(sql`${held.fractal} = any(${arrayText(fractals)}::text[])`)
      .orderBy(asc(held.seq)),
  )

/** Notes in the row of an event what the last try led to. */
export const noteTry = (db: Db, { held }: ReadModel, seq: number, parked: Parked): Promise<void> =>
  querying('note a try', async () => {
    await db
      .update(held)
      .set(triedOf(parked))
      .where(and(eq(held.seq, seq), lte(held.tries, parked.tries))) // others may have tried, and noted it, meanwhile
  })
