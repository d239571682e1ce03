import { type Context, Hono } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { routePath } from 'hono/route'
import { v7 } from 'uuid'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { createFeed } from '../platform/feed.ts'
import { operationsOf } from '../platform/operations.ts'
import { webhooksOf } from '../platform/webhooks.ts'
import type { Api, ApiOptions } from './api.ts'
import { asyncApiDocument } from './asyncapi.ts'
import { postBatch } from './batch.ts'
import { deleteFractal, postCancel, postRetry } from './commands.ts'
import { getDocsFile, getProblem, getSchema } from './docs.ts'
import { postEstimate } from './estimate.ts'
import { getEvents } from './events.ts'
import { createFreshness } from './freshness.ts'
import { guard } from './guard.ts'
import { getHealth, getReady } from './health.ts'
import { getHistory } from './history.ts'
import { getImage } from './images.ts'
import { listFractals } from './list.ts'
import { createLogSpace } from './log-space.ts'
import { openApiDocument } from './openapi.ts'
import { getOperation, postOperation, postStop } from './operations.ts'
import { errorAnswer, getDocs, getEventsPage, getGallery, getIcon } from './pages.ts'
import { problemResponse } from './problems.ts'
import { getProgress } from './progress.ts'
import { createReadinessLog } from './readiness-log.ts'
import { readCheckpoint } from './reading.ts'
import { postFractal } from './request.ts'
import { showFractal } from './show.ts'
import { getMetrics, getStatus } from './status.ts'
import { createStreams } from './streams.ts'
import {
  deleteWebhook,
  getAttempts,
  getParked,
  getWebhook,
  listWebhooks,
  patchWebhook,
  postParkedRetry,
  postPause,
  postPing,
  postReplay,
  postResume,
  postRotation,
  postWebhook,
} from './webhooks.ts'

/** The api as a handler of requests, with no socket yet. */
export function createApi(options: ApiOptions): Hono {
  const api: Api = {
    ...options,
    logSpace: createLogSpace(),
    operations: operationsOf(options.broker),
    webhooks: webhooksOf(options.broker),
    feed: createFeed(options, options.stopping),
    streams: createStreams(options.stopping, options.metrics),
    noteReadiness: createReadinessLog(options.logger),
    freshness: createFreshness({
      readSeq: async () => (await readCheckpoint(options.db))?.seq ?? 0,
      readHead: async () => (await options.log.head()).lastSeq,
      mayAdvance: () => options.broker.isConnected(),
    }),
  }
  options.broker.onReconnect(() => void api.freshness.reconnected())
  const app = new Hono({ strict: false }) // `/docs/` is `/docs`

  app.use(async (c, next) => {
    const startedAt = performance.now()
    const requestId = c.req.header('x-request-id')?.slice(0, 100) ?? v7()
    await next()
    c.header('X-Request-Id', requestId)
    record(api, c, requestId, (performance.now() - startedAt) / 1000)
  })
  app.use(methodNotAllowed({ app, onMethodNotAllowed: (c, allow) => problemResponse(notAllowed(c, allow)) }))
  app.use(async (c, next) => {
    requireShortUrl(c)
    guard(c, api.host)
    await next()
  })

  app.post('/v1/fractal', (c) => postFractal(api, c))
  app.get('/v1/fractal', (c) => listFractals(api, c))
  app.get('/v1/fractal/:uuid', (c) => showFractal(api, c))
  app.delete('/v1/fractal/:uuid', (c) => deleteFractal(api, c))
  app.get('/v1/fractal/:uuid/events', (c) => getHistory(api, c))
  app.get('/v1/fractal/:uuid/progress', (c) => getProgress(api, c))
  app.get('/v1/fractal/:uuid/image', (c) => getImage(api, c))
  app.post('/v1/fractal/:uuid/cancel', (c) => postCancel(api, c))
  app.post('/v1/fractal/:uuid/retry', (c) => postRetry(api, c))
  app.post('/v1/batch', (c) => postBatch(api, c))
  app.post('/v1/estimate', (c) => postEstimate(api, c))
  app.post('/v1/operations', (c) => postOperation(api, c))
  app.get('/v1/operations/:id', (c) => getOperation(api, c))
  app.post('/v1/operations/:id/cancel', (c) => postStop(api, c))
  app.post('/v1/webhooks', (c) => postWebhook(api, c))
  app.get('/v1/webhooks', (c) => listWebhooks(api, c))
  app.get('/v1/webhooks/:id', (c) => getWebhook(api, c))
  app.patch('/v1/webhooks/:id', (c) => patchWebhook(api, c))
  app.delete('/v1/webhooks/:id', (c) => deleteWebhook(api, c))
  app.post('/v1/webhooks/:id/pause', (c) => postPause(api, c))
  app.post('/v1/webhooks/:id/resume', (c) => postResume(api, c))
  app.post('/v1/webhooks/:id/rotate-secret', (c) => postRotation(api, c))
  app.post('/v1/webhooks/:id/ping', (c) => postPing(api, c))
  app.get('/v1/webhooks/:id/attempts', (c) => getAttempts(api, c))
  app.get('/v1/webhooks/:id/parked', (c) => getParked(api, c))
  app.post('/v1/webhooks/:id/parked/retry', (c) => postParkedRetry(api, c))
  app.post('/v1/webhooks/:id/replay', (c) => postReplay(api, c))
  app.get('/v1/events', (c) => getEvents(api, c))
  app.get('/v1/status', (c) => getStatus(api, c))
  app.get('/fractal/:uuid', (c) => getImage(api, c))

  app.get('/healthz', getHealth)
  app.get('/readyz', (c) => getReady(api, c))
  app.get('/metrics', (c) => getMetrics(api, c))
  app.get('/openapi.json', (c) => c.json(openApiDocument()))
  app.get('/asyncapi.json', (c) => c.json(asyncApiDocument()))
  app.get('/schemas/:file', getSchema)
  app.get('/problems/:code', getProblem)

  for (const path of PAGES) app.get(path, (c) => getGallery(api, c))
  app.get('/favicon.ico', getIcon)
  app.get('/docs', getDocs)
  app.get('/docs/events', getEventsPage)
  app.get('/docs/:file', getDocsFile)

  app.notFound((c) =>
    answerError(c, new FaafoError('not-found', `cannot answer '${c.req.path}': there is no such page`)),
  )
  app.onError((error, c) => answerError(c, error))
  return app
}

const PAGES = ['/', '/index', '/index/:page{[1-9][0-9]{0,8}}']

function notAllowed(c: Context, allow: string[]): FaafoError {
  const { method, path } = c.req
  // The original's workers delivered so.
  const isResult = method === 'PUT' && path.startsWith('/v1/fractal/')
  const hint = isResult ? 'results enter as events only, through the log' : `allowed are ${allow.join(', ')}`
  return new FaafoError('method-not-allowed', `cannot ${method} '${path}': ${hint}`, { details: { allow } })
}

/** Room for a `q` of a thousand uuids; Deno itself takes up to 65,534. */
const MOST_URL_CHARACTERS = 60_000

function requireShortUrl({ req }: Context): void {
  if (req.url.length <= MOST_URL_CHARACTERS) return
  throw new FaafoError(
    'url-too-long',
    `cannot read the request: its URL is longer than ${MOST_URL_CHARACTERS} characters; shorten q`,
  )
}

/** Problems for programs; for a browser that navigates, and there alone, a page. */
function answerError(c: Context, error: unknown): Response | Promise<Response> {
  const problem = problemResponse(error)
  const isPerson = !c.req.path.startsWith('/v1/') && c.req.header('accept')?.startsWith('text/html')
  return isPerson ? errorAnswer(c, error, problem) : problem
}

function record({ metrics, logger }: Api, c: Context, requestId: string, seconds: number): void {
  const { method, path } = c.req
  const { status } = c.res
  // A path that nobody serves is no route: each would be a time series of its own.
  const route = routePath(c, -1) === '/*' ? '(none)' : routePath(c, -1)
  metrics.requests.observe({ route, method, status: String(status) }, seconds)
  const bound = { requestId, method, path, status, ms: Math.round(seconds * 1000) }
  const { error } = c
  if (!error) logger.debug(bound, 'answered')
  else if (!isFaafoError(error)) logger.error({ ...bound, err: error }, 'answered')
  else {
    const { code, message: reason, details } = error
    // Parts that are away say so themselves, once; a 500 is for the operator to mend.
    logger[status === 500 ? 'warn' : 'debug']({ ...bound, code, reason, fractal: details.uuid }, 'answered')
  }
}
