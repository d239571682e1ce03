import { and, asc, count, gt, inArray, lte } from 'drizzle-orm'
import { FaafoError } from '../../events/errors.ts'
import type { Operation } from '../../events/operation.ts'
import { readCheckpoint } from '../platform/checkpoint.ts'
import { type Db, querying } from '../platform/database.ts'
import type { Log } from '../platform/log.ts'
import { whereOf } from '../platform/q.ts'
import { fractal } from '../platform/schema.ts'
import { pause } from '../platform/shutdown.ts'

export type MatchingParts = { db: Db; log: Log }

/**
 * The fractals that an operation is for, as the table has them. Every method throws `database-unavailable`;
 * `log-replaced` where the log is another one or lost its end since the operation was requested; `invalid-request`
 * where this version does not understand the filters.
 */
export type Matching = {
  count(): Promise<number>
  /** Those that come after one, or from the first on, in the order of creation. */
  after(uuid: string | null, limit: number): Promise<string[]>
  /** Of these, those that match; with the sequence of the event by which their rows stand. */
  among(uuids: readonly string[]): Promise<Map<string, number>>
  /** Waits until the table knows every fractal that was there when the operation was requested, or `signal` fires. */
  ready(signal: AbortSignal): Promise<void>
  /** Waits until the table holds the event at `seq`, or `signal` fires. */
  reached(seq: number, signal: AbortSignal): Promise<void>
}

const POLL_MS = 50

export function createMatching(
  { db, log }: MatchingParts,
  { filters, upTo }: Pick<Operation, 'filters' | 'upTo'>,
): Matching {
  let located: Promise<number> | undefined
  const end = () => {
    located ??= upTo === null ? Promise.resolve(0) : positionOf(log, upTo)
    return located
  }
  const where = async () => and(whereOf(filters), lte(fractal.firstSeq, await end()))

  async function reached(seq: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && ((await readCheckpoint(db))?.seq ?? 0) < seq) await pause(POLL_MS, signal)
  }

  return {
    reached,
    ready: async (signal) => reached(await end(), signal),
    async count() {
      const matching = await where()
      const [row] = await querying('count the fractals', () => db.select({ n: count() }).from(fractal).where(matching))
      return row?.n ?? 0
    },
    async after(uuid, limit) {
      const begin = uuid === null ? 0 : await createdAt(log, uuid)
      const matching = and(await where(), gt(fractal.firstSeq, begin))
      const rows = await querying('read the fractals', () =>
        db.select({ uuid: fractal.uuid }).from(fractal).where(matching).orderBy(asc(fractal.firstSeq)).limit(limit),
      )
      return rows.map((row) => row.uuid)
    },
    async among(uuids) {
      if (uuids.length === 0) return new Map()
      const matching = and(await where(), inArray(fractal.uuid, [...uuids]))
      const rows = await querying('read the fractals', () =>
        db.select({ uuid: fractal.uuid, lastSeq: fractal.lastSeq }).from(fractal).where(matching),
      )
      return new Map(rows.map((row) => [row.uuid, row.lastSeq]))
    },
  }
}

async function createdAt(log: Log, uuid: string): Promise<number> {
  const [first] = await log.wholeHistory(uuid) // read or not
  if (!first) throw lost(`the fractal '${uuid}' is not in it any more`)
  return first.seq
}

async function positionOf(log: Log, upTo: { fractal: string; event: string }): Promise<number> {
  const found = (await log.wholeHistory(upTo.fractal)).find(({ id }) => id === upTo.event) // read or not
  if (!found) throw lost(`event ${upTo.event}, its last one when the operation was requested, is not in it any more`)
  return found.seq
}

const lost = (reason: string) =>
  new FaafoError(
    'log-replaced',
    `cannot go on: the log was replaced or lost its end: ${reason}; request the operation anew`,
  )
