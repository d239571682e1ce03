import type { Context } from 'hono'
import { v5, v7 } from 'uuid'
import type { z } from 'zod'
import { cursorOf, parseCursor } from '../../events/cursor.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { explain, invalidRequest } from '../../events/fractal.ts'
import type { NewWebhookEvent, Webhook, WebhookCommand } from '../../events/webhook.ts'
import { identify } from '../platform/identity.ts'
import { askForPing, sayLook } from '../platform/webhook-asks.ts'
import { recentAttempts } from '../platform/webhook-attempts.ts'
import { newSecret } from '../platform/webhook-store.ts'
import { type AppendWebhookEvent, changeWebhook, createWebhook } from '../platform/webhooks.ts'
import type { Api } from './api.ts'
import { parseJson, readBody } from './body.ts'
import { beginning } from './events.ts'
import { query } from './reading.ts'
import { CALLER, idempotencyKeyOf, KEY_NAMESPACE } from './request.ts'
import { traceOf } from './trace.ts'
import { parseUuid } from './uuid.ts'
import { attemptObjectOf, createdObjectOf, objectOf, parkedObjectOf } from './webhook-objects.ts'
import {
  attemptsQuerySchema,
  hashWebhookRequest,
  type WebhookAttempts,
  type WebhookList,
  type WebhookParked,
  type WebhookWithSecret,
  webhookChangeSchema,
  webhookPauseSchema,
  webhookReplaySchema,
  webhookRequestSchema,
  webhookRetrySchema,
  webhookRotationSchema,
} from './webhook-schemas.ts'
import { appending, writing } from './writing.ts'

/** Room for a thousand uuids. */
const MAX_BODY_BYTES = 64 * 1024
/** Webhooks that are read at the same time for a list. */
const AT_ONCE = 32

/** POST /v1/webhooks. Neither reads nor writes the database; the secret is told here and never again. */
export async function postWebhook(api: Api, c: Context): Promise<Response> {
  const key = idempotencyKeyOf(c)
  const request = await bodyOf(c, 'create a webhook', webhookRequestSchema)
  const { since, ...settings } = request
  const after = await beginsAfter(api, request)
  const id = key === null ? v7() : v5(JSON.stringify([CALLER, key, 'webhook']), KEY_NAMESPACE)
  const asked = { ...settings, after, ...(key !== null && { requestHash: hashWebhookRequest(request) }) }
  const create = createWebhook(api.webhooks, id, asked, appender(api, c)).catch((error) => {
    if (!isFaafoError(error, 'already-exists')) throw error
    const reason = 'its Idempotency-Key was used with another body, or for one that was deleted'
    throw new FaafoError('idempotency-mismatch', `cannot create webhook '${id}': ${reason}`, {
      cause: error,
      details: { uuid: id },
    })
  })
  const advice =
    key === null ? 'look whether there is one of that id' : 'repeat the request with the same Idempotency-Key'
  const { webhook, secret, isNew } = await writing(id, create, `webhook '${id}'`, advice)
  if (isNew) sayLook(api.broker, id)
  else c.header('Idempotent-Replayed', 'true')
  c.header('Location', `/v1/webhooks/${id}`)
  const object = createdObjectOf(isNew ? await asRecorded(api, webhook) : webhook)
  return c.json({ ...object, secret } satisfies WebhookWithSecret, 201)
}

/** GET /v1/webhooks */
export async function listWebhooks(api: Api, c: Context): Promise<Response> {
  const there = await api.webhooks.all()
  const objects: WebhookList['webhooks'] = []
  const left = there.entries()
  const reader = async () => {
    for (const [i, webhook] of left) objects[i] = await objectOf(api, webhook)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, reader))
  return c.json({ webhooks: objects } satisfies WebhookList)
}

/** GET /v1/webhooks/:id */
export async function getWebhook(api: Api, c: Context): Promise<Response> {
  return c.json(await objectOf(api, await webhookIn(api, c)))
}

/** PATCH /v1/webhooks/:id */
export async function patchWebhook(api: Api, c: Context): Promise<Response> {
  const asked = await bodyOf(c, 'change the webhook', webhookChangeSchema)
  const settings = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined))
  return changed(api, c, { type: 'change', settings })
}

/** DELETE /v1/webhooks/:id: one that was deleted before is no error. */
export async function deleteWebhook(api: Api, c: Context): Promise<Response> {
  await carryOut(api, c, { type: 'delete' })
  return c.body(null, 204)
}

/** POST /v1/webhooks/:id/pause */
export async function postPause(api: Api, c: Context): Promise<Response> {
  const { reason = null } = await bodyOf(c, 'pause the webhook', webhookPauseSchema)
  return changed(api, c, { type: 'pause', reason, by: 'user' })
}

/** POST /v1/webhooks/:id/resume: it goes on where it was, or, where that was lost, now. */
export async function postResume(api: Api, c: Context): Promise<Response> {
  return changed(api, c, { type: 'resume', now: await beginsAfter(api, {}) })
}

/** POST /v1/webhooks/:id/rotate-secret: the other answer with a secret. */
export async function postRotation(api: Api, c: Context): Promise<Response> {
  const { secret = newSecret(), overlap } = await bodyOf(c, 'rotate the secret', webhookRotationSchema)
  const { id } = await webhookIn(api, c)
  const { store } = api.webhooks
  const webhook = await carryOut(api, c, { type: 'rotate', overlap }, async () => {
    const now = Date.now()
    const [newest] = await store.secrets(id, now)
    // The same once more, since its answer was lost: the one before is to stay valid.
    if (newest?.secret !== secret || overlap === 0) await store.rotateSecret(id, secret, { now, seconds: overlap })
  })
  return c.json({ ...(await objectOf(api, webhook)), secret } satisfies WebhookWithSecret)
}

/** POST /v1/webhooks/:id/ping. The request itself leaves from a subscriber: nothing else sends to such addresses. */
export async function postPing(api: Api, c: Context): Promise<Response> {
  const { id } = await webhookIn(api, c)
  return c.json(attemptObjectOf(await askForPing(api.broker, id)))
}

/** GET /v1/webhooks/:id/attempts */
export async function getAttempts(api: Api, c: Context): Promise<Response> {
  const parsed = attemptsQuerySchema.safeParse(c.req.query(), { error: explain })
  if (!parsed.success) throw invalidRequest('list the attempts', parsed.error)
  const { id } = await webhookIn(api, c)
  const attempts = await query('read the attempts', () => recentAttempts(api.db, id, parsed.data.limit))
  return c.json({ attempts: attempts.map(attemptObjectOf) } satisfies WebhookAttempts)
}

/** GET /v1/webhooks/:id/parked */
export async function getParked(api: Api, c: Context): Promise<Response> {
  const { id } = await webhookIn(api, c)
  const parked = await api.webhooks.store.parked(id)
  return c.json({ parked: parked.map(parkedObjectOf) } satisfies WebhookParked)
}

/** POST /v1/webhooks/:id/parked/retry */
export async function postParkedRetry(api: Api, c: Context): Promise<Response> {
  const { cursors, uuid = null } = await bodyOf(c, 'retry deliveries', webhookRetrySchema)
  const { id } = await webhookIn(api, c)
  const asked = cursors ? await parkedAt(api, id, cursors) : null
  return changed(api, c, { type: 'retry-parked', cursors: asked, uuid })
}

/** POST /v1/webhooks/:id/replay */
export async function postReplay(api: Api, c: Context): Promise<Response> {
  const asked = await bodyOf(c, 'replay the webhook', webhookReplaySchema)
  return changed(api, c, { type: 'replay', after: await beginsAfter(api, asked) })
}

type Change = Exclude<WebhookCommand, { type: 'create' }>

async function changed(api: Api, c: Context, command: Change): Promise<Response> {
  return c.json(await objectOf(api, await carryOut(api, c, command)))
}

/** `first` is done before the command is. */
async function carryOut(api: Api, c: Context, command: Change, first = async () => {}): Promise<Webhook> {
  const id = idIn(c)
  const change = async () => {
    await first()
    return changeWebhook(api.webhooks, id, command, appender(api, c))
  }
  const webhook = await writing(id, change(), `webhook '${id}'`, 'repeat the request')
  sayLook(api.broker, id)
  return asRecorded(api, webhook)
}

/** Read again for the broker's times; where that fails all is done nevertheless. */
const asRecorded = async ({ webhooks }: Api, webhook: Webhook): Promise<Webhook> =>
  (await webhooks.load(webhook.id).catch(() => null)) ?? webhook

const appender =
  (api: Api, c: Context): AppendWebhookEvent =>
  (event: NewWebhookEvent, cause) => {
    const traceparent = traceOf(c)
    const links = { ...(cause && { causationid: cause, correlationid: cause }), ...(traceparent && { traceparent }) }
    const identified = identify(event, api.source, links)
    return appending(api, event.type, (options) => api.webhooks.append(identified, options))
  }

/** A body in JSON; none at all counts as an empty object. Throws `malformed-body`, `invalid-request`. */
async function bodyOf<S extends z.ZodType>(c: Context, action: string, schema: S): Promise<z.output<S>> {
  const text = await readBody(c, MAX_BODY_BYTES)
  const parsed = schema.safeParse(text === '' ? {} : parseJson(text), { error: explain })
  if (!parsed.success) throw invalidRequest(action, parsed.error)
  return parsed.data
}

/** The cursor after which it begins, with the digits that tell its log from another. Throws what `beginning` throws. */
async function beginsAfter(api: Api, asked: Parameters<typeof beginning>[1]): Promise<string> {
  const { seq } = await beginning(api, asked)
  const message = seq === 0 ? null : await api.log.messageAt(seq)
  return message && message.id !== '' ? cursorOf({ seq, id: message.id }) : String(seq)
}

/** The cursors of parked deliveries, as they are known. Throws `not-found` for what is not parked. */
async function parkedAt(api: Api, id: string, cursors: readonly string[]): Promise<string[]> {
  const bySeq = new Map((await api.webhooks.store.parked(id)).map((parked) => [parked.seq, parked.cursor]))
  return cursors.map((text) => {
    const { seq, idPrefix } = parseCursor(text)
    const cursor = bySeq.get(seq)
    if (cursor !== undefined && (idPrefix === null || cursor === `${seq}-${idPrefix}`)) return cursor
    throw new FaafoError('not-found', `cannot retry '${text}' of webhook '${id}': it is not parked`)
  })
}

async function webhookIn(api: Api, c: Context): Promise<Webhook> {
  const id = idIn(c)
  const webhook = await api.webhooks.load(id)
  return webhook && !webhook.isDeleted ? webhook : missing(id)
}

function idIn(c: Context): string {
  const text = c.req.param('id')
  return parseUuid(text) ?? missing(text?.slice(0, 80) ?? '')
}

function missing(id: string): never {
  throw new FaafoError('not-found', `cannot find webhook '${id}': there is none of that id`)
}
