import { count, desc, eq } from 'drizzle-orm'
import type { Context } from 'hono'
import { fractalOf } from '../platform/fractal-row.ts'
import { fractal } from '../platform/schema.ts'
import { docsPage } from '../web/docs-page.ts'
import { errorPage } from '../web/error-page.ts'
import { eventsPage } from '../web/events-page.ts'
import { galleryPage } from '../web/gallery-page.ts'
import { icon } from '../web/icon.ts'
import type { Html } from '../web/layout.ts'
import type { Api } from './api.ts'
import { asyncApiDocument } from './asyncapi.ts'
import { problemOf } from './problems.ts'
import { awaitFresh, query } from './reading.ts'

const FRACTALS_ON_A_PAGE = 5

/** Nothing is loaded from elsewhere, and no other site may frame a page. Swagger UI sets styles inline. */
const POLICY =
  "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

/** GET /, /index and /index/:page: finished fractals, the newest first. */
export async function getGallery(api: Api, c: Context): Promise<Response> {
  const page = Number(c.req.param('page') ?? 1)
  await awaitFresh(api, c)
  const finished = eq(fractal.status, 'completed')
  const [rows, total] = await query('show the gallery', () =>
    Promise.all([
      api.db
        .select()
        .from(fractal)
        .where(finished)
        .orderBy(desc(fractal.firstSeq))
        .limit(FRACTALS_ON_A_PAGE)
        .offset((page - 1) * FRACTALS_ON_A_PAGE),
      api.db.select({ n: count() }).from(fractal).where(finished),
    ]),
  )
  const pages = Math.ceil((total[0]?.n ?? 0) / FRACTALS_ON_A_PAGE)
  const isThere = page <= Math.max(1, pages)
  return answer(c, galleryPage({ fractals: rows.map(fractalOf), page, pages }), isThere ? 200 : 404)
}

/** GET /favicon.ico */
export const getIcon = (c: Context): Response =>
  c.body(icon, 200, {
    'content-type': 'image/svg+xml',
    'cache-control': 'public, max-age=86400',
    'x-content-type-options': 'nosniff',
  })

/** GET /docs */
export const getDocs = (c: Context): Response | Promise<Response> => answer(c, docsPage())

/** GET /docs/events */
export const getEventsPage = (c: Context): Response | Promise<Response> => answer(c, eventsPage(asyncApiDocument()))

/** An error where a person looks: the same status and headers, with a page in place of the problem. */
export async function errorAnswer(c: Context, error: unknown, problem: Response): Promise<Response> {
  const headers = new Headers(problem.headers)
  headers.delete('content-type')
  for (const [name, value] of headers) c.header(name, value)
  return answer(c, errorPage(problemOf(error)), problem.status as 404)
}

function answer(c: Context, page: Html, status: 200 | 404 = 200) {
  c.header('Content-Security-Policy', POLICY)
  c.header('X-Content-Type-Options', 'nosniff')
  c.header('Referrer-Policy', 'no-referrer')
  return c.html(page, status)
}
