import type { Context } from 'hono'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { uuidSchema } from '../../events/fractal.ts'
import type { Api } from './api.ts'
import { mediaTypeOf, parseJson, readBody } from './body.ts'
import { shown } from './object.ts'
import { type Problem, problemOf } from './problems.ts'
import { idempotencyKeyOf, type RequestOptions, requestFractal } from './request.ts'
import { type BatchAnswer, type BatchItem, MOST_BATCH_ITEMS } from './schemas.ts'
import { traceOf } from './trace.ts'

const MAX_BODY_BYTES = 2 * 1024 * 1024
const APPENDS_AT_ONCE = 64

/**
 * POST /v1/batch: each item stands for itself, as if it had been posted alone; there is no all or nothing. Once the
 * log is found away, or the client is gone, the items not yet begun are not tried, so that the answer comes in time.
 */
export async function postBatch(api: Api, c: Context): Promise<Response> {
  const key = idempotencyKeyOf(c)
  const text = await readBody(c, MAX_BODY_BYTES)
  const requests = mediaTypeOf(c) === 'application/x-ndjson' ? linesOf(text) : arrayOf(text)
  const items = await answerAll(api, requests, { key, traceparent: traceOf(c), signal: c.req.raw.signal })
  // A client that looks at the status alone must not take a batch of which nothing was recorded for one that was.
  const [first] = items
  if (first && 'error' in first && items.every(({ item }) => item.status >= 500)) {
    const { code, message } = isFaafoError(first.error) ? first.error : new FaafoError('internal', 'cannot record any')
    throw new FaafoError(code, message, {
      cause: first.error,
      details: { uuid: first.item.uuid, items: items.map(({ item }) => item) },
    })
  }
  return c.json({ items: items.map(({ item }) => item) } satisfies BatchAnswer)
}

/** A parsed request, or what is wrong with its line. */
type Item = { json: unknown } | { error: unknown }

function arrayOf(text: string): Item[] {
  const json = parseJson(text)
  if (!Array.isArray(json))
    throw new FaafoError('invalid-request', 'cannot read the batch: expected an array of requests')
  return atMost(json).map((item) => ({ json: item }))
}

function linesOf(text: string): Item[] {
  return atMost(text.split('\n').filter((line) => line.trim() !== '')).map((line) => {
    try {
      return { json: parseJson(line) }
    } catch (error) {
      return { error }
    }
  })
}

function atMost<T>(items: T[]): T[] {
  if (items.length <= MOST_BATCH_ITEMS) return items
  throw new FaafoError(
    'invalid-request',
    `cannot take a batch of ${items.length} requests: at most ${MOST_BATCH_ITEMS} at a time`,
  )
}

type Answered = { item: BatchItem; error?: unknown }

async function answerAll(
  api: Api,
  requests: Item[],
  { signal: gone, ...options }: Pick<RequestOptions, 'key' | 'traceparent'> & { signal: AbortSignal },
): Promise<Answered[]> {
  const answers: Answered[] = []
  const away = new AbortController()
  gone.addEventListener('abort', () => away.abort(), { once: true })
  let next = 0
  const answerSome = async () => {
    for (let index = next++; index < requests.length; index = next++) {
      const request = requests[index] ?? { json: null }
      try {
        if ('error' in request) throw request.error
        const requested = await requestFractal(api, request.json, { ...options, index, signal: away.signal })
        const { status, fractal, replayed } = requested
        const object = shown(api, fractal)
        answers[index] = { item: { index, status, uuid: fractal.uuid, ...(replayed && { replayed }), object } }
      } catch (error) {
        if (isFaafoError(error, 'log-unavailable')) away.abort()
        if (!isFaafoError(error)) api.logger.error({ err: error, index }, 'batch item failed')
        const problem = problemOf(error)
        answers[index] = { item: { index, status: problem.status, uuid: uuidIn(problem, request), problem }, error }
      }
    }
  }
  await Promise.all(Array.from({ length: APPENDS_AT_ONCE }, answerSome))
  return answers
}

/** The uuid that a refused item is about, where one can be read. */
function uuidIn(problem: Problem, request: Item): string | null {
  if (typeof problem.uuid === 'string') return problem.uuid
  const json = 'json' in request ? request.json : null
  if (typeof json !== 'object' || json === null || !('uuid' in json)) return null
  return uuidSchema.safeParse(json.uuid).data ?? null
}
