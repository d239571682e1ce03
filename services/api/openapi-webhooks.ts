import type { RouteConfig } from '@hono/zod-openapi'
import { z } from 'zod'
import { cloudEventSchema, pingSchema, unreadableEventSchema } from '../../events/cloud-event.ts'
import { uuidSchema } from '../../events/fractal.ts'
import { json, problems, requestHeaders } from './openapi-parts.ts'
import {
  attemptsQuerySchema,
  webhookAttemptSchema,
  webhookAttemptsSchema,
  webhookChangeSchema,
  webhookHeadersSchema,
  webhookListSchema,
  webhookObjectSchema,
  webhookParkedSchema,
  webhookPauseSchema,
  webhookReplaySchema,
  webhookRequestSchema,
  webhookRetrySchema,
  webhookRotationSchema,
  webhookWithSecretSchema,
} from './webhook-schemas.ts'

const params = z.object({ id: uuidSchema.meta({ description: 'identifies the webhook' }) })
const created = z.object({
  Location: z.string(),
  'Idempotent-Replayed': z.string().optional().meta({ description: '`true` where it was created before' }),
})
const bodyOf = (schema: z.ZodType) => ({ body: { content: { 'application/json': { schema } } } })

type Method = 'get' | 'post' | 'patch' | 'delete'
type Told = { summary: string; description?: string }

const onWebhooks = (
  method: Method,
  told: Told,
  responses: RouteConfig['responses'],
  request?: RouteConfig['request'],
): RouteConfig => ({
  ...{ method, path: '/v1/webhooks', tags: ['Webhooks'], ...told, responses },
  ...(request && { request }),
})

const onWebhook = (
  method: Method,
  path: string,
  told: Told,
  responses: RouteConfig['responses'],
  request?: RouteConfig['request'],
): RouteConfig => ({
  ...{ method, path: `/v1/webhooks/{id}${path}`, tags: ['Webhooks'], ...told, responses },
  request: { params, ...request },
})

const changes = problems(400, 403, 404, 409, 413, 415, 503, 507)

export const webhookRoutes: RouteConfig[] = [
  onWebhooks(
    'post',
    {
      summary: 'Have events posted to a URL',
      description:
        'Each event that matches is posted as a CloudEvent in the JSON format, signed as Standard Webhooks says: at least once, with the id of the event as `webhook-id`, in order for each fractal. Where that fails it is tried again for a day, ever more seldom, and then parked. The answer is the only one with the secret.',
    },
    { 201: json('created', webhookWithSecretSchema, created), ...problems(400, 403, 410, 413, 415, 422, 503, 507) },
    { headers: requestHeaders, ...bodyOf(webhookRequestSchema) },
  ),
  onWebhooks(
    'get',
    { summary: 'List webhooks' },
    { 200: json('all that there are', webhookListSchema), ...problems(403, 503) },
  ),
  onWebhook(
    'get',
    '',
    { summary: 'One webhook' },
    { 200: json('the webhook', webhookObjectSchema), ...problems(403, 404, 503) },
  ),
  onWebhook(
    'patch',
    '',
    {
      summary: 'Change where events are sent, or which',
      description: 'What is on its way may still go where it went.',
    },
    { 200: json('the webhook', webhookObjectSchema), ...changes },
    bodyOf(webhookChangeSchema),
  ),
  onWebhook(
    'delete',
    '',
    { summary: 'Delete a webhook, with its secrets' },
    { 204: { description: 'it is gone, or was before' }, ...problems(403, 404, 415, 503, 507) },
  ),
  onWebhook(
    'post',
    '/pause',
    { summary: 'Send nothing until it is resumed' },
    { 200: json('it is paused', webhookObjectSchema), ...changes },
    bodyOf(webhookPauseSchema),
  ),
  onWebhook(
    'post',
    '/resume',
    { summary: 'Go on after the last event that was dealt with' },
    { 200: json('it is active', webhookObjectSchema), ...problems(403, 404, 415, 503, 507) },
  ),
  onWebhook(
    'post',
    '/rotate-secret',
    {
      summary: 'Sign with a new secret',
      description:
        'The one before signs, too, for `overlap` seconds: every request has a signature by either. The answer is the only one with the new secret.',
    },
    { 200: json('the webhook, with its new secret', webhookWithSecretSchema), ...changes },
    bodyOf(webhookRotationSchema),
  ),
  onWebhook(
    'post',
    '/ping',
    {
      summary: 'Send a test event now',
      description: 'Also to one that is paused. 503 where no subscriber runs, which is what sends.',
    },
    { 200: json('what came of it, also where it was refused', webhookAttemptSchema), ...problems(403, 404, 415, 503) },
  ),
  onWebhook(
    'get',
    '/attempts',
    { summary: 'What was sent lately, and what came of it', description: 'A bounded log, kept in the database.' },
    { 200: json('the last attempts', webhookAttemptsSchema), ...problems(400, 403, 404, 503) },
    { query: attemptsQuerySchema },
  ),
  onWebhook(
    'get',
    '/parked',
    { summary: 'Deliveries that were given up' },
    { 200: json('all of them', webhookParkedSchema), ...problems(403, 404, 503) },
  ),
  onWebhook(
    'post',
    '/parked/retry',
    { summary: 'Try parked deliveries again: some, those of a fractal, or all' },
    { 200: json('they are tried again from here on', webhookObjectSchema), ...changes },
    bodyOf(webhookRetrySchema),
  ),
  onWebhook(
    'post',
    '/replay',
    {
      summary: 'Begin again from a cursor or a time',
      description: 'What was delivered since then comes once more, with the same ids.',
    },
    { 200: json('it begins again', webhookObjectSchema), ...problems(410), ...changes },
    bodyOf(webhookReplaySchema),
  ),
]

/** What is sent to others, rather than taken from them. */
export const sentByWebhooks: RouteConfig = {
  method: 'post',
  path: 'event',
  tags: ['Webhooks'],
  summary: 'An event, as it is posted to the URL of a webhook',
  request: {
    headers: webhookHeadersSchema,
    body: {
      content: {
        'application/cloudevents+json': { schema: z.union([cloudEventSchema, unreadableEventSchema, pingSchema]) },
      },
    },
  },
  responses: {
    '2XX': { description: 'taken, within 15 seconds; whatever else is answered, it comes again' },
    410: { description: 'no more of them: the webhook is disabled' },
    429: { description: 'again, not before `Retry-After` says so; 503 likewise' },
  },
}
