import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { cursorPattern } from '../../events/cursor.ts'
import type { EventType } from '../../events/events.ts'
import { uuidSchema } from '../../events/fractal.ts'
import { parseTime } from '../../events/moment.ts'
import { eventTypes } from '../../events/subjects.ts'
import { statuses } from '../../events/task.ts'
import { webhookStates, webhookUrlSchema } from '../../events/webhook.ts'
import { ATTEMPTS_KEPT, attemptOutcomes } from '../platform/webhook-attempts.ts'
import { wholeNumber } from './schemas.ts'

/* Webhooks as the api takes and shows them. */

const LONGEST_TEXT = 500
/** Room for a message of the broker to hold them. */
const MOST_UUIDS = 1_000
const MOST_CURSORS = 1_000
/** Bytes that Standard Webhooks asks of a secret. */
const SECRET_BYTES = { least: 24, most: 64 }
const DAY_S = 86_400
const LONGEST_OVERLAP_S = 30 * DAY_S

const secretExpected = `expected whsec_ and ${SECRET_BYTES.least} to ${SECRET_BYTES.most} bytes as base64`
const overlapExpected = `expected a whole number from 0 to ${LONGEST_OVERLAP_S}`
const cursorExpected = 'expected a cursor such as 42-0198c3a1, or 0 for all from the beginning'
const timeExpected = 'expected a time such as 2026-01-31T12:00:00Z'

const isSecret = (text: string): boolean => {
  const [, base64 = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? []
  const bytes = Buffer.from(base64, 'base64')
  return bytes.toString('base64') === base64 && bytes.length >= SECRET_BYTES.least && bytes.length <= SECRET_BYTES.most
}

const text = (description: string) => {
  const error = `expected a text of at most ${LONGEST_TEXT} characters`
  return z.string({ error }).max(LONGEST_TEXT, { error }).meta({ description })
}
const url = webhookUrlSchema.meta({
  description:
    'where each event is posted to. https, and at a public address, unless WEBHOOK_TARGETS of the subscribers allows the host: whatever else is refused at every delivery, and in `attempts`',
  example: 'https://example.org/hooks',
})
const secret = z.string({ error: secretExpected }).refine(isSecret, { error: secretExpected }).meta({
  description: 'Standard Webhooks: `whsec_` and the bytes that sign, as base64; made here where it is left out',
  example: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
})

const types = z
  .array(z.enum(eventTypes as [EventType, ...EventType[]]))
  .meta({ description: 'only events of these types; empty: of all', example: ['TaskCompleted', 'TaskFailed'] })
const status = z
  .array(z.enum([...statuses, 'deleted'] as const))
  .meta({ description: 'only events that lead to one of these states; empty: to any', example: ['completed'] })
const uuid = z
  .array(uuidSchema)
  .max(MOST_UUIDS)
  .meta({ description: 'only events of these fractals; empty: of all', example: [] })

const cursor = z
  .string({ error: cursorExpected })
  .regex(cursorPattern, { error: cursorExpected })
  .meta({ description: 'with what comes after this cursor; `0`: with everything', example: '42-0198c3a1' })
const time = z
  .string({ error: timeExpected })
  .refine((text) => parseTime(text) !== null, { error: timeExpected })
  .meta({
    description: 'with what came into the log from this time on; refused where that is more than a minute ahead',
    example: '2026-01-31T12:00:00Z',
  })

const notBoth = {
  check: (from: { after?: string | undefined; since?: string | undefined }) =>
    from.after === undefined || from.since === undefined,
  error: 'expected after or since, not both',
}

export const webhookRequestSchema = z
  .strictObject({
    url,
    description: text('for people').default(''),
    types: types.default([]),
    status: status.default([]),
    uuid: uuid.default([]),
    after: cursor.optional(),
    since: time.optional(),
    secret: secret.optional(),
  })
  .refine(notBoth.check, { error: notBoth.error })
  .meta({ id: 'WebhookRequest', description: 'Without `after` and `since` it begins with what comes from now on.' })
export type WebhookRequest = z.input<typeof webhookRequestSchema>

/**
 * SHA-256 (hex) of a request as sent, defaults filled in: equal ones asked for the same. It stands in the log, and its secret
 * is not found from it, since that is random and has 24 bytes at least.
 */
export function hashWebhookRequest(request: z.output<typeof webhookRequestSchema>): string {
  const { url, description, types, status, uuid, after = null, since = null, secret = null } = request
  const fields = [url, description, types, status, uuid, after, since, secret]
  return createHash('sha256').update(JSON.stringify(fields)).digest('hex')
}

export const webhookChangeSchema = z
  .strictObject({ url, description: text('for people'), types, status, uuid })
  .partial()
  .refine((change) => Object.keys(change).length > 0, { error: 'expected at least one field to change' })
  .meta({ id: 'WebhookChange', description: 'What is left out stays as it is.' })
export type WebhookChange = z.input<typeof webhookChangeSchema>

export const webhookPauseSchema = z
  .strictObject({ reason: text('shown as `reason`').optional() })
  .meta({ id: 'WebhookPause' })

export const webhookRotationSchema = z
  .strictObject({
    secret: secret.optional(),
    overlap: z
      .int({ error: overlapExpected })
      .min(0, { error: overlapExpected })
      .max(LONGEST_OVERLAP_S, { error: overlapExpected })
      .default(DAY_S)
      .meta({ description: 'seconds for which the secret before signs, too' }),
  })
  .meta({ id: 'WebhookRotation' })
export type WebhookRotation = z.input<typeof webhookRotationSchema>

const beginning = z.strictObject({ after: cursor.optional(), since: time.optional() })
export const webhookReplaySchema = beginning
  .refine(notBoth.check, { error: notBoth.error })
  .refine(({ after, since }) => after !== undefined || since !== undefined, { error: 'expected after or since' })
  .meta({ id: 'WebhookReplay' })
export type WebhookReplay = z.input<typeof webhookReplaySchema>

export const webhookRetrySchema = z
  .strictObject({
    cursors: z.array(cursor).min(1).max(MOST_CURSORS).optional().meta({ description: 'these deliveries' }),
    uuid: uuidSchema.optional().meta({ description: 'those of this fractal' }),
    all: z.literal(true).optional(),
  })
  .refine((which) => Object.values(which).filter((one) => one !== undefined).length === 1, {
    error: 'expected one of cursors, uuid and all',
  })
  .meta({ id: 'WebhookRetry' })
export type WebhookRetry = z.input<typeof webhookRetrySchema>

export const attemptsQuerySchema = z.strictObject({
  limit: wholeNumber(1, ATTEMPTS_KEPT).default(50).meta({ description: 'at most so many' }),
})

export const webhookObjectSchema = z
  .object({
    id: z.guid(),
    url: z.string(),
    description: z.string(),
    types,
    status,
    uuid: z.array(z.guid()),
    state: z.enum(webhookStates).meta({
      description:
        'paused: nothing is sent until it is resumed; disabled: it answered 410, and a resume has it tried again',
    }),
    reason: z.string().nullable().meta({ description: 'why it is paused or disabled' }),
    created: z.iso.datetime(),
    updated: z.iso.datetime(),
    cursor: z.string().nullable().meta({
      description: 'everything up to it is dealt with: delivered, parked or left out; null where that is not known',
      example: '42-0198c3a1',
    }),
    parked: z.int().meta({ description: 'deliveries that were given up; `parked/retry` tries them again' }),
    secrets: z.int().meta({ description: 'how many are valid just now, each of which signs' }),
  })
  .meta({ id: 'Webhook' })
export type WebhookObject = z.output<typeof webhookObjectSchema>

export const webhookWithSecretSchema = webhookObjectSchema
  .extend({ secret: z.string().meta({ description: 'shown here only: keep it' }) })
  .meta({ id: 'WebhookWithSecret' })
export type WebhookWithSecret = z.output<typeof webhookWithSecretSchema>

export const webhookListSchema = z
  .object({ webhooks: z.array(webhookObjectSchema).meta({ description: 'in the order of their creation' }) })
  .meta({ id: 'Webhooks' })
export type WebhookList = z.output<typeof webhookListSchema>

export const webhookAttemptSchema = z
  .object({
    at: z.iso.datetime(),
    event_id: z.string(),
    cursor: z.string().nullable().meta({ description: 'null for a ping', example: '42-0198c3a1' }),
    type: z.string(),
    uuid: z.string().nullable().meta({ description: 'the fractal; null for a ping' }),
    attempt: z.int().meta({ description: 'from 1, for each event' }),
    status: z.int().nullable().meta({ description: 'of the answer; null where there was none' }),
    latency_ms: z.int(),
    outcome: z.enum(attemptOutcomes).meta({
      description: 'refused: not sent, since the address is none that is allowed; gone: 410',
    }),
    error: z.string().nullable(),
    answer: z.string().nullable().meta({ description: 'what it said, cut to 1 KiB' }),
  })
  .meta({ id: 'WebhookAttempt' })
export type WebhookAttempt = z.output<typeof webhookAttemptSchema>

export const webhookAttemptsSchema = z
  .object({ attempts: z.array(webhookAttemptSchema).meta({ description: 'newest first' }) })
  .meta({ id: 'WebhookAttempts' })
export type WebhookAttempts = z.output<typeof webhookAttemptsSchema>

export const parkedDeliverySchema = z
  .object({
    cursor: z.string(),
    type: z.string(),
    uuid: z.string(),
    attempts: z.int(),
    since: z.iso.datetime().meta({ description: 'when it was given up' }),
    error: z.string().nullable(),
  })
  .meta({ id: 'WebhookParked' })
export type ParkedDelivery = z.output<typeof parkedDeliverySchema>

export const webhookParkedSchema = z
  .object({ parked: z.array(parkedDeliverySchema).meta({ description: 'in the order of the log' }) })
  .meta({ id: 'WebhookParkedList' })
export type WebhookParked = z.output<typeof webhookParkedSchema>

/** What is posted has these, as Standard Webhooks says. */
export const webhookHeadersSchema = z.object({
  'webhook-id': z.string().meta({ description: 'the `id` of the event: the same however often it comes' }),
  'webhook-timestamp': z.string().regex(/^\d+$/).meta({ description: 'seconds since 1970, when this try was begun' }),
  'webhook-signature': z.string().meta({
    description:
      '`v1,` and the HMAC-SHA256 of id, timestamp and body, with dots between, as base64; one for each valid secret, with blanks between',
  }),
})
