import { and, count, desc, eq, lte, ne, type SQL, sql } from 'drizzle-orm'
import { FaafoError } from '../../events/errors.ts'
import { parseMoment } from '../../events/moment.ts'
import { seqAsOf } from '../platform/as-of.ts'
import type { Db } from '../platform/database.ts'
import { fractalOf } from '../platform/fractal-row.ts'
import { VERSION_WITH_HISTORY } from '../platform/read-model.ts'
import { type FractalRow, fractal, fractalVersion } from '../platform/schema.ts'
import type { Api } from './api.ts'
import { objectOf, shown } from './object.ts'
import { query, readCheckpoint } from './reading.ts'
import type { FractalObject } from './schemas.ts'

/** What a list is read from: the fractals as they are, or as they were at a moment. */
export type ListSource = {
  /** Something that has the columns of the table, and its name in a query. */
  rows: typeof fractal
  /** Which of the rows stand for a fractal; undefined: all. */
  where: SQL | undefined
  /** How many fractals there are. */
  count: () => Promise<number>
  objectOf: (row: FractalRow) => FractalObject
}

/**
 * Throws `invalid-request` where `asOf` is no moment, `log-replaced` where it is of another log, `projection-behind`
 * where the tables are not so far, `database-unavailable`, and `log-unavailable`, for only the log can tell what had
 * happened by then.
 */
export async function openListSource(api: Api, asOf: string | undefined): Promise<ListSource> {
  if (asOf === undefined) return asItIs(api)
  const seq = await seqAsOf(api.log, parseMoment(asOf))
  if (!(await api.freshness.reached(seq))) throw behind(`the tables are not so far as event ${seq} yet`)
  const version = (await readCheckpoint(api.db))?.version ?? VERSION_WITH_HISTORY
  if (version < VERSION_WITH_HISTORY) throw behind('the projector has yet to make the table of what was')
  return asItWas(api, seq)
}

export const asItIs = (api: Api): ListSource => ({
  rows: fractal,
  where: undefined,
  count: async () => (await api.db.select({ n: count() }).from(fractal))[0]?.n ?? 0,
  objectOf: (row) => shown(api, fractalOf(row)),
})

/** Of each fractal its last version up to then, found in the order of creation, so that a page costs no more than itself. */
const asItWas = ({ db }: Api, seq: number): ListSource => ({
  rows: db
    .selectDistinctOn([fractalVersion.firstSeq])
    .from(fractalVersion)
    .where(and(lte(fractalVersion.firstSeq, seq), lte(fractalVersion.lastSeq, seq)))
    .orderBy(fractalVersion.firstSeq, desc(fractalVersion.lastSeq))
    .as('fractal') as unknown as typeof fractal,
  where: ne(fractal.status, 'deleted'),
  count: async () => (await versionsUpTo(db, seq, isCreation)) - (await versionsUpTo(db, seq, isDeletion)),
  objectOf: (row) => objectOf(fractalOf(row)),
})

const isCreation = eq(fractalVersion.lastSeq, fractalVersion.firstSeq)
const isDeletion = sql`${fractalVersion.status} = 'deleted'` // a parameter would keep its index from being used

async function versionsUpTo(db: Db, seq: number, which: SQL): Promise<number> {
  const upTo = and(lte(fractalVersion.lastSeq, seq), which)
  const counted = await query('count fractals', () => db.select({ n: count() }).from(fractalVersion).where(upTo))
  return counted[0]?.n ?? 0
}

const behind = (reason: string) => new FaafoError('projection-behind', `cannot list fractals as they were: ${reason}`)
