import { randomBytes, randomUUID } from 'node:crypto'
import type {
  ParkedDelivery,
  WebhookAttempt,
  WebhookAttempts,
  WebhookChange,
  WebhookList,
  WebhookObject,
  WebhookParked,
  WebhookReplay,
  WebhookRequest,
  WebhookRetry,
  WebhookRotation,
  WebhookWithSecret,
} from '../api/webhook-schemas.ts'
import type { Exchange, Transport } from './transport.ts'

type Cancellable = { signal?: AbortSignal | undefined }

/** Every method but `create` and `list` throws `not-found` where there is no webhook of that id. */
export type WebhooksClient = {
  /**
   * Has every event that matches posted to a URL, from now on, from after a cursor, or from a time on. The answer is the only
   * one with the secret. A connection that breaks meanwhile does not lead to a second webhook, and neither does the same
   * idempotency key.
   */
  create(webhook: WebhookRequest, options?: Cancellable & { idempotencyKey?: string }): Promise<WebhookWithSecret>
  /** In the order of their creation. */
  list(options?: Cancellable): Promise<WebhookObject[]>
  get(id: string, options?: Cancellable): Promise<WebhookObject>
  /** What is left out stays as it is. What is on its way may still go to where it went before. */
  change(id: string, changes: WebhookChange, options?: Cancellable): Promise<WebhookObject>
  /** For good, with its secrets; one that was deleted before is no error. */
  remove(id: string, options?: Cancellable): Promise<void>
  /** Nothing is sent until `resume`, which goes on after the last event that was dealt with. */
  pause(id: string, options?: Cancellable & { reason?: string }): Promise<WebhookObject>
  resume(id: string, options?: Cancellable): Promise<WebhookObject>
  /**
   * A new secret, made here where none is given, so that a request that is sent again changes nothing; the one before signs, too,
   * for `overlap` seconds (a day where nothing is given). The answer is the only one with the secret.
   */
  rotateSecret(id: string, rotation?: WebhookRotation, options?: Cancellable): Promise<WebhookWithSecret>
  /** Sends a test event now, and resolves to what came of it, also where it was refused. */
  ping(id: string, options?: Cancellable): Promise<WebhookAttempt>
  /** Newest first; 50 where no `limit` is given. What is older than some hundred is forgotten. */
  attempts(id: string, options?: Cancellable & { limit?: number | undefined }): Promise<WebhookAttempt[]>
  /** Deliveries that were given up. */
  parked(id: string, options?: Cancellable): Promise<ParkedDelivery[]>
  /** Has them tried again: those of some cursors, of a fractal, or all. */
  retryParked(id: string, which: WebhookRetry, options?: Cancellable): Promise<WebhookObject>
  /** Begins again after a cursor or at a time: what was delivered since comes once more, with the same ids. */
  replay(id: string, from: WebhookReplay, options?: Cancellable): Promise<WebhookObject>
}

export function webhooksClient({ json, send }: Transport): WebhooksClient {
  const path = (...rest: string[]) => ['v1', 'webhooks', ...rest]
  const post = <T>(action: string, id: string, command: string[], more: Partial<Exchange>): Promise<T> =>
    json({ action: `${action} webhook '${id}'`, method: 'POST', path: path(id, ...command), ...more })

  return {
    create: (body, { idempotencyKey = randomUUID(), signal } = {}) =>
      json({
        action: 'create a webhook',
        method: 'POST',
        path: path(),
        body,
        headers: { 'idempotency-key': idempotencyKey },
        signal,
      }),

    async list({ signal } = {}) {
      const { webhooks }: WebhookList = await json({ action: 'list webhooks', path: path(), signal })
      return webhooks
    },

    get: (id, { signal } = {}) => json({ action: `get webhook '${id}'`, path: path(id), signal }),

    change: (id, body, { signal } = {}) =>
      json({ action: `change webhook '${id}'`, method: 'PATCH', path: path(id), body, signal }),

    async remove(id, { signal } = {}) {
      const answer = await send({ action: `delete webhook '${id}'`, method: 'DELETE', path: path(id), signal })
      await answer.body?.cancel()
    },

    pause: (id, { reason, signal } = {}) =>
      post('pause', id, ['pause'], { body: reason === undefined ? {} : { reason }, signal }),

    resume: (id, { signal } = {}) => post('resume', id, ['resume'], { signal }),

    rotateSecret: (id, { secret = newSecret(), ...more } = {}, { signal } = {}) =>
      post('rotate the secret of', id, ['rotate-secret'], { body: { secret, ...more }, signal }),

    ping: (id, { signal } = {}) => post('ping', id, ['ping'], { signal, repeatable: false }),

    async attempts(id, { limit, signal } = {}) {
      const action = `list the attempts of webhook '${id}'`
      const { attempts }: WebhookAttempts = await json({ action, path: path(id, 'attempts'), query: { limit }, signal })
      return attempts
    },

    async parked(id, { signal } = {}) {
      const action = `list what is parked of webhook '${id}'`
      const { parked }: WebhookParked = await json({ action, path: path(id, 'parked'), signal })
      return parked
    },

    retryParked: (id, body, { signal } = {}) =>
      post('retry what is parked of', id, ['parked', 'retry'], { body, signal }),

    replay: (id, body, { signal } = {}) => post('replay', id, ['replay'], { body, signal }),
  }
}

/** 24 random bytes, as Standard Webhooks writes them. */
const newSecret = (): string => `whsec_${randomBytes(24).toString('base64')}`
