import { and, asc, count, gt, inArray } from 'drizzle-orm'
import type { Db } from '../platform/database.ts'
import type { Q } from '../platform/q.ts'
import { type FractalRow, fractal } from '../platform/schema.ts'
import type { ListSource } from './list-source.ts'
import { query } from './reading.ts'
import type { FractalPage } from './schemas.ts'

/** Which of the rows that match. `limit` may be Infinity. */
type Window = { offset: number; limit: number }

const byCreation = [asc(fractal.firstSeq)]
const orderOf = (q: Q) => (q.orderBy.length > 0 ? q.orderBy : byCreation)

export const selectRows = (db: Db, from: ListSource, q: Q, { offset, limit }: Window): Promise<FractalRow[]> =>
  db
    .select()
    .from(from.rows)
    .where(and(from.where, q.where))
    .orderBy(...orderOf(q))
    .limit(limit)
    .offset(offset)

/** How many rows match, within the query's own limit and offset. */
export async function countRows(db: Db, from: ListSource, { where, limit, offset }: Q): Promise<number> {
  if (limit === undefined && offset === 0) {
    if (!where) return from.count()
    const [all] = await db.select({ n: count() }).from(from.rows).where(and(from.where, where))
    return all?.n ?? 0
  }
  const some = db.select({ uuid: fractal.uuid }).from(from.rows).where(and(from.where, where)).offset(offset)
  const [row] = await db.select({ n: count() }).from((limit === undefined ? some : some.limit(limit)).as('some'))
  return row?.n ?? 0
}

/** Rows held at a time while a large page is streamed. */
const CHUNK = 1_000

/**
 * A page of any size, its rows read and sent a thousand at a time. The numbers come last: of all on one page, the
 * count is what was sent, also where fractals come and go meanwhile. Where the database is lost midway the answer
 * breaks off, and is no JSON.
 */
export async function streamRows(
  db: Db,
  from: ListSource,
  q: Q,
  window: Window,
  { page, results_per_page }: { page: number; results_per_page: number },
): Promise<Response> {
  const encoder = new TextEncoder()
  const chunks = chunksOf(db, from, q, window)
  let next = await chunks.next() // before the answer begins, so that an error is still an answer
  const counted = results_per_page === -1 ? null : await query('list fractals', () => countRows(db, from, q))
  let sent = 0
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(encoder.encode('{"objects":['))
    },
    async pull(controller) {
      if (next.done) {
        const num_results = counted ?? sent
        const total_pages = counted === null ? Math.min(1, sent) : Math.ceil(counted / results_per_page)
        const numbers = { num_results, page, total_pages } satisfies Omit<FractalPage, 'objects'>
        controller.enqueue(encoder.encode(`],${JSON.stringify(numbers).slice(1)}`))
        return controller.close()
      }
      const objects = next.value.map((row) => JSON.stringify(from.objectOf(row)))
      controller.enqueue(encoder.encode(`${sent > 0 ? ',' : ''}${objects.join(',')}`))
      sent += objects.length
      next = await chunks.next()
    },
    async cancel() {
      await chunks.return(undefined)
    },
  })
  return new Response(body, { headers: { 'content-type': 'application/json' } })
}

/** Chunks that are never empty. In the order of creation by keyset, else by a list that is read first. */
async function* chunksOf(
  db: Db,
  from: ListSource,
  q: Q,
  window: Window,
): AsyncGenerator<FractalRow[], void, undefined> {
  if (q.orderBy.length === 0 && window.offset === 0) yield* keysetChunks(db, from, q, window.limit)
  else yield* listedChunks(db, from, q, window)
}

async function* keysetChunks(
  db: Db,
  from: ListSource,
  q: Q,
  limit: number,
): AsyncGenerator<FractalRow[], void, undefined> {
  let after = 0
  for (let left = limit; left > 0; ) {
    const rows = await query('list fractals', () =>
      selectRows(
        db,
        from,
        { ...q, where: and(q.where, gt(fractal.firstSeq, after)) },
        { offset: 0, limit: Math.min(CHUNK, left) },
      ),
    )
    const last = rows.at(-1)
    if (!last) return
    yield rows
    left -= rows.length
    after = last.firstSeq
  }
}

async function* listedChunks(
  db: Db,
  from: ListSource,
  q: Q,
  { offset, limit }: Window,
): AsyncGenerator<FractalRow[], void, undefined> {
  const listed = await query('list fractals', () => {
    const all = db
      .select({ firstSeq: fractal.firstSeq })
      .from(from.rows)
      .where(and(from.where, q.where))
      .orderBy(...orderOf(q))
      .offset(offset)
    return Number.isFinite(limit) ? all.limit(limit) : all
  })
  for (let i = 0; i < listed.length; i += CHUNK) {
    const places = listed.slice(i, i + CHUNK).map((row) => row.firstSeq)
    const rows = await query('list fractals', () =>
      db
        .select()
        .from(from.rows)
        .where(and(from.where, inArray(fractal.firstSeq, places))),
    )
    const byPlace = new Map(rows.map((row) => [row.firstSeq, row]))
    const ordered = places.flatMap((place) => byPlace.get(place) ?? [])
    if (ordered.length > 0) yield ordered
  }
}
