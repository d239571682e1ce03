import type { RouteConfig } from '@hono/zod-openapi'
import { z } from 'zod'
import { uuidSchema } from '../../events/fractal.ts'
import { eventsPageSchema, eventsQuerySchema, historyQuerySchema, progressSchema } from './event-schemas.ts'
import { problems } from './openapi-parts.ts'
import { fractalEventsSchema } from './schemas.ts'

const tags = ['Events']
const params = z.object({ uuid: uuidSchema })
const headers = z.object({
  'last-event-id': z.string().optional().meta({
    description: 'cursor of the last event that the client has had: browsers send it by themselves',
    example: '42-0198c3a1',
  }),
})
const stream = (description: string) => z.string().meta({ description })
const either = (description: string, schema: z.ZodType, streamed: string) => ({
  description,
  content: { 'application/json': { schema }, 'text/event-stream': { schema: stream(streamed) } },
})
const over = { 204: { description: 'a stream of which the client has had everything, and nothing more will come' } }

export const eventRoutes: RouteConfig[] = [
  {
    method: 'get',
    path: '/v1/events',
    tags,
    summary: 'Every event, from any moment on',
    description:
      'With `Accept: text/event-stream` a stream that never ends: each event with its type as `event`, its cursor as `id` and a CloudEvent as `data`. Who is cut off goes on from the last `id` without a gap and without a repetition; where nothing matches, the `id` still moves on with every heartbeat. Else a page of JSON, for polling: `wait` has the answer wait for a first event.',
    request: { query: eventsQuerySchema, headers },
    responses: {
      200: either('the events', eventsPageSchema, 'server-sent events; `data` is one of the `events` of a page'),
      ...problems(400, 403, 410, 503),
    },
  },
  {
    method: 'get',
    path: '/v1/fractal/{uuid}/events',
    tags,
    summary: 'Everything that happened to a fractal, also to one that was deleted',
    description: 'All of it, or what is asked for. As a stream, also what comes next, until the fractal is deleted.',
    request: { params, headers, query: historyQuerySchema },
    responses: {
      200: either('the events', fractalEventsSchema, 'server-sent events; `data` is one of the `events`'),
      ...over,
      ...problems(400, 403, 404, 410, 503),
    },
  },
  {
    method: 'get',
    path: '/v1/fractal/{uuid}/progress',
    tags,
    summary: 'How far a fractal has come',
    description: 'As a stream, every change (`event: progress`) until it is finished or deleted.',
    request: { params, headers },
    responses: {
      200: either('its state and progress', progressSchema, 'server-sent events; `data` is the same object'),
      ...over,
      ...problems(403, 404, 410, 503),
    },
  },
]
