import type { Hono } from 'hono'
import * as assert from 'uvu/assert'
import { webhookObjectSchema, webhookWithSecretSchema } from '../../services/api/webhook-schemas.ts'
import { json } from './with-api.ts'

/** Where the webhooks of these tests are sent. */
export const url = 'https://example.org/hooks'
/** A secret that the caller gives. */
export const ours = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

/** Status, headers and body of an answer to a request that may change something. */
export async function ask(
  app: Hono,
  path: string,
  body?: unknown,
  { method = 'POST', ...headers }: Record<string, string> = {},
) {
  const sent = { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers }
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const response = await app.request(path, { method, headers: sent, ...(body !== undefined && { body: text }) })
  const object = response.status === 204 ? null : await json(response)
  if (!response.ok) assert.is(response.headers.get('content-type'), 'application/problem+json')
  return { status: response.status, headers: response.headers, object }
}

/** A webhook just made, which fits its schema. */
export async function make(app: Hono, more: Record<string, unknown> = {}) {
  const { status, object } = await ask(app, '/v1/webhooks', { url, ...more })
  assert.is(status, 201, JSON.stringify(object))
  assert.equal(webhookWithSecretSchema.strict().parse(object), object)
  const { secret, ...webhook } = object
  return { secret, webhook, path: `/v1/webhooks/${object.id}` }
}

/** The webhook as it is now, which fits its schema. */
export const show = async (app: Hono, path: string) => {
  const object = await json(app.request(path))
  assert.equal(webhookObjectSchema.strict().parse(object), object)
  return object
}

/** Status and code of a refusal, and where the request is wrong. */
export const pointersOf = ({ status, object }: Awaited<ReturnType<typeof ask>>) => [
  status,
  object.code,
  ...(object.errors ?? []).map((error: { pointer: string }) => error.pointer),
]
