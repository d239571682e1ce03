import { and, gt } from 'drizzle-orm'
import type { Context } from 'hono'
import { FaafoError } from '../../events/errors.ts'
import { explain, invalidRequest } from '../../events/fractal.ts'
import { parseQ, type Q } from '../platform/q.ts'
import { fractal } from '../platform/schema.ts'
import type { Api } from './api.ts'
import { type ListSource, openListSource } from './list-source.ts'
import { awaitFresh, checkedCursor, query } from './reading.ts'
import { countRows, selectRows, streamRows } from './rows.ts'
import { type FractalPage, type KeysetPage, type ListQuery, listQuerySchema, MOST_KEYSET_RESULTS } from './schemas.ts'

const PAGE = 10
/** Larger pages are streamed. */
const MOST_AT_ONCE = 1_000
/** Clients refuse answers whose headers are larger than some 16 KiB. */
const MOST_LINK_CHARACTERS = 4_000

/** GET /v1/fractal */
export async function listFractals(api: Api, c: Context): Promise<Response> {
  const parsed = listQuerySchema.safeParse(c.req.query(), { error: explain })
  if (!parsed.success) throw invalidRequest('list fractals', parsed.error)
  const { limit, ...rest } = parsed.data
  const asked = { ...rest, results_per_page: limit ?? rest.results_per_page }
  const q = parseQ(asked.q)
  if (asked.after !== undefined) requireKeyset(asked, q)
  await awaitFresh(api, c)
  const from = await openListSource(api, asked.as_of)
  if (asked.after !== undefined) return listAfter(api, c, from, asked, asked.after, q)
  if (q.single) return c.json(await single(api, from, q))
  return listPage(api, c, from, asked, q)
}

async function listPage(
  { db }: Api,
  c: Context,
  from: ListSource,
  { page = 1, results_per_page = PAGE }: ListQuery,
  q: Q,
): Promise<Response> {
  const all = results_per_page === -1
  const begin = all ? 0 : (page - 1) * results_per_page
  const rest = Math.max(0, (q.limit ?? Number.POSITIVE_INFINITY) - begin)
  const window = { offset: q.offset + begin, limit: all ? rest : Math.min(results_per_page, rest) }
  if (!(window.limit <= MOST_AT_ONCE))
    return streamRows(db, from, q, window, { page: all ? 1 : page, results_per_page })
  const [rows, num_results] = await query('list fractals', () =>
    Promise.all([selectRows(db, from, q, window), countRows(db, from, q)]),
  )
  return c.json({
    num_results,
    objects: rows.map(from.objectOf),
    page: all ? 1 : page,
    total_pages: all ? Math.min(1, num_results) : Math.ceil(num_results / results_per_page),
  } satisfies FractalPage)
}

/** As the original: the object itself, or 400 with one of two messages. */
async function single(api: Api, from: ListSource, q: Q) {
  const window = { offset: q.offset, limit: Math.min(2, q.limit ?? 2) }
  const [row, second] = await query('find the fractal', () => selectRows(api.db, from, q, window))
  if (row && !second) return from.objectOf(row)
  const message = row ? 'Multiple results found' : 'No result found'
  throw new FaafoError('query-result', `cannot answer with a single fractal: ${message.toLowerCase()}`, {
    details: { message },
  })
}

function requireKeyset({ page, results_per_page = PAGE }: ListQuery, q: Q) {
  const refuse = (reason: string) => {
    throw new FaafoError('invalid-request', `cannot list fractals after a cursor: ${reason}`)
  }
  if (page !== undefined) refuse('give page or after, not both')
  if (q.orderBy.length > 0 || q.offset > 0 || q.limit !== undefined || q.single)
    refuse('of q only filters go with after')
  if (results_per_page < 1 || results_per_page > MOST_KEYSET_RESULTS)
    refuse(`results_per_page goes from 1 to ${MOST_KEYSET_RESULTS}`)
}

/** A keyset page neither skips nor repeats what stands in the tables: sequences only grow. */
async function listAfter(
  api: Api,
  c: Context,
  from: ListSource,
  asked: ListQuery,
  after: string,
  q: Q,
): Promise<Response> {
  const size = asked.results_per_page ?? PAGE
  const { seq } = await checkedCursor(api, after)
  const where = and(q.where, gt(fractal.firstSeq, seq))
  const found = await query('list fractals', () =>
    selectRows(api.db, from, { ...q, where }, { offset: 0, limit: size + 1 }),
  )
  const objects = found.slice(0, size).map(from.objectOf)
  const next = found.length > size ? (objects.at(-1)?.cursor ?? null) : null
  if (next !== null) {
    const query = new URLSearchParams({
      after: next,
      results_per_page: String(size),
      ...(asked.q && { q: asked.q }),
      ...(asked.as_of && { as_of: asked.as_of }),
    })
    const link = `</v1/fractal?${query}>; rel="next"`
    if (link.length <= MOST_LINK_CHARACTERS) c.header('Link', link)
  }
  return c.json({ objects, next } satisfies KeysetPage)
}
