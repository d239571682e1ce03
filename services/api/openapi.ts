import { OpenAPIHono, type RouteConfig } from '@hono/zod-openapi'
import { z } from 'zod'
import { fractalRequestSchema, uuidSchema } from '../../events/fractal.ts'
import { VERSION } from '../platform/identity.ts'
import { eventRoutes } from './openapi-events.ts'
import { operationRoutes } from './openapi-operations.ts'
import { json, problems, requestHeaders } from './openapi-parts.ts'
import { sentByWebhooks, webhookRoutes } from './openapi-webhooks.ts'
import {
  batchAnswerSchema,
  batchSchema,
  estimateSchema,
  fractalObjectSchema,
  fractalPageSchema,
  keysetPageSchema,
  listQuerySchema,
  readQuerySchema,
  readySchema,
  showQuerySchema,
  statusSchema,
} from './schemas.ts'

const text = (description: string, type: string) => ({
  description,
  content: { [type]: { schema: { type: 'string' as const } } },
})
const image = (description: string, headers?: z.ZodObject) => ({
  description,
  content: { 'image/png': { schema: { type: 'string' as const, format: 'binary' } } },
  ...(headers && { headers }),
})

const uuidParams = z.object({ uuid: uuidSchema })
const writeHeaders = z.object({
  'Faafo-Cursor': z
    .string()
    .meta({ description: 'cursor of the last event: `min_seq` takes it', example: '42-0198c3a1' }),
})
const createdHeaders = writeHeaders.extend({
  Location: z.string(),
  'Idempotent-Replayed': z.string().optional().meta({ description: '`true` where the first answer is given again' }),
})
const imageHeaders = z.object({
  ETag: z.string().meta({ description: 'the checksum, in quotes' }),
  'Cache-Control': z.string(),
  'Content-Length': z.string(),
})

const ofFractal = (
  method: 'get' | 'post' | 'delete',
  path: string,
  summary: string,
  responses: RouteConfig['responses'],
  query?: z.ZodObject,
): RouteConfig => ({
  method,
  path: `/v1/fractal/{uuid}${path}`,
  tags: ['Fractals'],
  summary,
  request: { params: uuidParams, ...(query && { query }) },
  responses: { ...responses, ...problems(403) },
})

const imageOf = (path: string): RouteConfig => ({
  method: 'get',
  path,
  tags: ['Images'],
  summary: 'The image of a finished fractal (HEAD too)',
  request: { params: uuidParams, query: readQuerySchema },
  responses: {
    200: image('the PNG file', imageHeaders),
    304: { description: 'the tag of `If-None-Match` is still right' },
    ...problems(400, 403, 404, 410, 500, 503),
  },
})

const plain = (path: string, summary: string, response: RouteConfig['responses'][string], more = {}): RouteConfig => ({
  method: 'get',
  path,
  tags: ['Operation'],
  summary,
  responses: { 200: response, ...more, ...problems(403) },
})

const routes: RouteConfig[] = [
  {
    method: 'post',
    path: '/v1/fractal',
    tags: ['Fractals'],
    summary: 'Request a fractal',
    description:
      'The same uuid again: the same request is answered 200 with the same object, another one 409. One of which more iterations are expected than the budget of this installation (`COMPUTE_BUDGET`) is refused; where cx and cy are left out width × height × iterations counts.',
    request: { headers: requestHeaders, body: { content: { 'application/json': { schema: fractalRequestSchema } } } },
    responses: {
      201: json('recorded; it is never lost from here on', fractalObjectSchema, createdHeaders),
      200: json('it was requested before, just so', fractalObjectSchema, createdHeaders),
      ...problems(400, 403, 409, 410, 413, 415, 422, 503, 507),
    },
  },
  {
    method: 'get',
    path: '/v1/fractal',
    tags: ['Fractals'],
    summary: 'List fractals, in the order of creation',
    description: 'Numbered pages, or, with `after`, keyset pages that neither skip nor repeat.',
    request: { query: listQuerySchema },
    responses: {
      200: json(
        'a page; with `single` in `q` the one object',
        z.union([fractalPageSchema, keysetPageSchema, fractalObjectSchema]),
        z.object({
          Link: z.string().optional().meta({
            description:
              'with `after`: the next page, where its URL is not too long for a header; `next` says the same',
          }),
        }),
      ),
      ...problems(400, 403, 410, 414, 503),
    },
  },
  ofFractal(
    'get',
    '',
    'One fractal, now or as it was',
    { 200: json('the fractal', fractalObjectSchema), ...problems(400, 404, 410, 500, 503) },
    showQuerySchema,
  ),
  ofFractal('delete', '', 'Delete a fractal; its uuid stays deleted', {
    204: { description: 'it is gone, or there was none, and no cursor then', headers: writeHeaders.partial() },
    ...problems(415, 500, 503, 507),
  }),
  ofFractal('post', '/cancel', 'Cancel a fractal that is not finished', {
    200: json('it is cancelled', fractalObjectSchema, writeHeaders),
    ...problems(404, 409, 410, 415, 500, 503, 507),
  }),
  ofFractal('post', '/retry', 'Have a failed or cancelled fractal, or a lost image, rendered again', {
    200: json('it is requested again', fractalObjectSchema, writeHeaders),
    ...problems(404, 409, 410, 415, 500, 503, 507),
  }),
  imageOf('/fractal/{uuid}'),
  imageOf('/v1/fractal/{uuid}/image'),
  {
    method: 'post',
    path: '/v1/batch',
    tags: ['Fractals'],
    summary: 'Request up to 1,000 fractals',
    description: 'Each item is answered as if it had been posted alone: there is no all or nothing.',
    request: {
      headers: requestHeaders,
      body: {
        content: {
          'application/json': { schema: batchSchema },
          'application/x-ndjson': { schema: z.string().meta({ description: 'a request on each line' }) },
        },
      },
    },
    responses: {
      200: json('an answer for each item, in their order', batchAnswerSchema),
      ...problems(400, 403, 413, 415, 503, 507),
    },
  },
  {
    method: 'post',
    path: '/v1/estimate',
    tags: ['Fractals'],
    summary: 'How much work a fractal would be',
    description:
      'Records nothing. Takes what `POST /v1/fractal` takes (the uuid means nothing), over the budget as well. Where no constant is given one is chosen; request the fractal with the one in the answer to have that very picture, of which the expected iterations are then held against the budget.',
    request: { body: { content: { 'application/json': { schema: fractalRequestSchema } } } },
    responses: { 200: json('the estimate', estimateSchema), ...problems(400, 403, 413, 415) },
  },
  ...eventRoutes,
  ...operationRoutes,
  ...webhookRoutes,
  plain('/v1/status', 'Queue, workers and projection', json('as far as it can be told just now', statusSchema)),
  plain('/healthz', 'Whether this process answers', json('it does', z.object({ status: z.literal('ok') }))),
  plain('/readyz', 'Whether this api can append', json('it can; what else is amiss is in the body', readySchema), {
    503: json('it cannot', readySchema),
  }),
  plain('/metrics', 'Metrics for Prometheus', text('the metrics', 'text/plain')),
  plain('/openapi.json', 'This document', json('OpenAPI 3.1', z.looseObject({}))),
  plain('/asyncapi.json', 'The events, as AsyncAPI 3', json('AsyncAPI 3', z.looseObject({}))),
  {
    ...plain(
      '/schemas/{file}',
      'What the data of one version of an event is',
      { description: 'JSON Schema', content: { 'application/schema+json': { schema: z.looseObject({}) } } },
      problems(404),
    ),
    request: { params: z.object({ file: z.string().meta({ example: 'task-requested-1.json' }) }) },
  },
  {
    ...plain(
      '/problems/{code}',
      'What a problem type means',
      json('status and title', z.looseObject({})),
      problems(404),
    ),
    request: { params: z.object({ code: z.string() }) },
  },
]
let document: ReturnType<OpenAPIHono['getOpenAPI31Document']> | undefined

/** OpenAPI 3.1, made from the schemas when it is first asked for. */
export function openApiDocument() {
  if (document) return document
  const registry = new OpenAPIHono()
  for (const route of routes) registry.openAPIRegistry.registerPath(route)
  registry.openAPIRegistry.registerWebhook(sentByWebhooks)
  document = registry.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Fractals',
      version: VERSION,
      description:
        'Fractal images on request. Every error is a problem of RFC 9457; branch on its `code`. What happens to fractals can be followed: [the events](/docs/events).',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url: '/' }],
  })
  return document
}
