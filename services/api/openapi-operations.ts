import type { RouteConfig } from '@hono/zod-openapi'
import { z } from 'zod'
import { uuidSchema } from '../../events/fractal.ts'
import { json, problems, requestHeaders } from './openapi-parts.ts'
import { dryRunSchema, operationObjectSchema, operationRequestSchema } from './operation-schemas.ts'

const tags = ['Bulk operations']
const params = z.object({ id: uuidSchema.meta({ description: 'identifies the operation' }) })
const begun = z.object({
  Location: z.string(),
  'Idempotent-Replayed': z.string().optional().meta({ description: '`true` where the first answer is given again' }),
})

export const operationRoutes: RouteConfig[] = [
  {
    method: 'post',
    path: '/v1/operations',
    tags,
    summary: 'Cancel, retry or delete every fractal that matches',
    description:
      'For the fractals that are there by then, each at most once, in the order of creation; an operator carries it out. The same id again: the same request is answered 200 with what has become of it, another one 409. A bulk retry takes what failed or was cancelled, and does not look for lost images.',
    request: { headers: requestHeaders, body: { content: { 'application/json': { schema: operationRequestSchema } } } },
    responses: {
      202: json('recorded; it is carried out from here on', operationObjectSchema, begun),
      200: json(
        'it was requested before, just so; or, with `dry_run`, how many match',
        z.union([operationObjectSchema, dryRunSchema]),
      ),
      ...problems(400, 403, 409, 413, 415, 422, 503, 507),
    },
  },
  {
    method: 'get',
    path: '/v1/operations/{id}',
    tags,
    summary: 'How far an operation has come',
    request: { params },
    responses: { 200: json('the operation', operationObjectSchema), ...problems(403, 404, 503) },
  },
  {
    method: 'post',
    path: '/v1/operations/{id}/cancel',
    tags,
    summary: 'Stop an operation; what it has changed stays changed',
    request: { params },
    responses: {
      200: json('it is cancelled, or about to be', operationObjectSchema),
      ...problems(403, 404, 409, 415, 503, 507),
    },
  },
]
