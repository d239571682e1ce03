import { randomUUID } from 'node:crypto'
import type { CloudEvent } from '../../events/cloud-event.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { FractalRequest } from '../../events/fractal.ts'
import type { OperationObject } from '../api/operation-schemas.ts'
import type {
  BatchAnswer,
  Estimate,
  FractalEvents,
  FractalObject,
  FractalPage,
  KeysetPage,
  Ready,
  Status,
} from '../api/schemas.ts'
import type { ParkedDelivery, WebhookAttempt, WebhookObject, WebhookWithSecret } from '../api/webhook-schemas.ts'
import { type FollowedEvent, type Following, followEvents, listed, type Selection } from './client-follow.ts'
import { type Bulk, type OperationsClient, operationsClient } from './client-operations.ts'
import { type WebhooksClient, webhooksClient } from './client-webhooks.ts'
import { type ClientOptions, createTransport } from './transport.ts'
import { isFinished, watchFractals } from './watch.ts'

/*
 * `faafo/client`: the api for programs, over HTTP.
 *
 *   const client = createClient({ endpoint: 'http://127.0.0.1:8080' })
 *   const { uuid } = await client.request({ width: 640, height: 480, iterations: 255, xa: -2, xb: 2, ya: -1.5, yb: 1.5 })
 *   const fractal = await client.waitFor(uuid)
 *   if (fractal.status === 'completed') await writeFile('fractal.png', await (await client.image(uuid)).bytes())
 */

export type {
  BatchAnswer,
  Bulk,
  ClientOptions,
  CloudEvent,
  Estimate,
  FollowedEvent,
  Following,
  FractalObject,
  FractalPage,
  FractalRequest,
  KeysetPage,
  OperationObject,
  OperationsClient,
  ParkedDelivery,
  Ready,
  Status,
  WebhookAttempt,
  WebhookObject,
  WebhooksClient,
  WebhookWithSecret,
}
export { FaafoError, isFaafoError }

/** Field, operator and value of one condition, as in `{ name: 'status', op: '==', val: 'completed' }`. */
export type Filter = { name: string; op: string; val?: unknown; field?: string }
export type Query = {
  filters?: Filter[]
  order_by?: { field: string; direction: 'asc' | 'desc' }[]
  limit?: number
  offset?: number
}

/** What was seen of fractals that are waited for; `removed` ones were deleted meanwhile. */
export type Sighting = { objects: FractalObject[]; removed: string[] }

type Cancellable = { signal?: AbortSignal | undefined }

/** `asOf`: the fractals as they were at a cursor or a time. */
type Listing = Cancellable & { resultsPerPage?: number; q?: Query; asOf?: string | undefined }

/** A finished image: to be read once, as a stream or as bytes. */
export type FractalImage = {
  /** SHA-256 of the file, as the api says; null where a proxy took it away. */
  checksum: string | null
  /** Bytes; null where the api does not say. */
  size: number | null
  stream: ReadableStream<Uint8Array>
  bytes(): Promise<Uint8Array>
}

/**
 * Every method throws FaafoError: with the code of the api's problem (`details.status` is the HTTP status), `aborted`
 * when its signal fires, or `unreachable`. What may safely be sent again is, twice at most, when the api answers 503
 * with `Retry-After` or the connection breaks.
 */
export type Client = {
  /**
   * Asks for a fractal. Without `uuid` one is made here, unless an idempotency key identifies the request.
   * Asking again for the same changes nothing.
   */
  request(fractal: FractalRequest, options?: Cancellable & { idempotencyKey?: string }): Promise<FractalObject>
  /** Up to 1,000 at once; an answer for each, in the order of the requests. */
  batch(fractals: readonly FractalRequest[], options?: Cancellable & { idempotencyKey?: string }): Promise<BatchAnswer>
  /** How much work a fractal would be, also where the budget refuses it. Nothing is recorded. */
  estimate(fractal: FractalRequest, options?: Cancellable): Promise<Estimate>
  /** `asOf`: as it was at a cursor or a time. Throws `not-found`. */
  get(uuid: string, options?: Cancellable & { asOf?: string | undefined }): Promise<FractalObject>
  /**
   * Everything that happened to it, or what of it is asked for, in the order of the log; also to one that was deleted. Throws
   * `not-found`, and `log-replaced` where the log is not the one of the cursor.
   */
  events(uuid: string, options?: Cancellable & Selection): Promise<FollowedEvent[]>
  /**
   * Every event from a moment on, in the order of the log, for ever: each once and without a gap, over connections that
   * break. Throws `log-replaced` where the log is not the one of the cursor, and `aborted` when the signal fires.
   */
  follow(options?: Following): AsyncGenerator<FollowedEvent, void, undefined>
  /** 10 to a page by default; `resultsPerPage` −1 means all. */
  list(options?: Listing & { page?: number }): Promise<FractalPage>
  /** The page that follows `after`, a cursor; '0' stands before the first. In the order of creation. */
  listAfter(after: string, options?: Listing): Promise<KeysetPage>
  /** Every fractal in the order of creation, read page by page. */
  all(options?: Listing): AsyncGenerator<FractalObject, void, undefined>
  /** Throws `not-ready` until the fractal is completed. */
  image(uuid: string, options?: Cancellable): Promise<FractalImage>
  cancel(uuid: string, options?: Cancellable): Promise<FractalObject>
  retry(uuid: string, options?: Cancellable): Promise<FractalObject>
  /** Deletes for good; nothing happens where there is none. */
  remove(uuid: string, options?: Cancellable): Promise<void>
  /** Cancel, retry or delete everything that a filter matches. */
  operations: OperationsClient
  /** Events posted to URLs, and what came of it. */
  webhooks: WebhooksClient
  status(options?: Cancellable): Promise<Status>
  /** Whether requests are taken, and how each part fares. */
  ready(options?: Cancellable): Promise<Ready>
  /**
   * Looks at fractals until each is completed, failed, cancelled or removed: at all that are not finished now and then, and at
   * those of which an event tells the end at once. An api that is away is waited for, `patienceMs` (default 30,000) at a time.
   */
  watch(
    uuids: Iterable<string>,
    options?: Cancellable & { patienceMs?: number },
  ): AsyncGenerator<Sighting, void, undefined>
  /** Resolves once the fractal is completed, failed or cancelled; throws `removed` when it is deleted meanwhile. */
  waitFor(
    uuid: string,
    options?: Cancellable & { patienceMs?: number; onProgress?: (fractal: FractalObject) => void },
  ): Promise<FractalObject>
}

/** Throws `invalid-request` where the endpoint is not an http(s) URL; nothing is sent yet. */
export function createClient(options: ClientOptions): Client {
  const transport = createTransport(options)
  const { send, json } = transport
  const fractal = (uuid: string, ...rest: string[]) => ['v1', 'fractal', uuid, ...rest]

  const client: Client = {
    request({ uuid, ...parameters }, { idempotencyKey, signal } = {}) {
      const chosen = uuid ?? (idempotencyKey === undefined ? randomUUID() : undefined)
      return json({
        action: 'request a fractal',
        method: 'POST',
        path: ['v1', 'fractal'],
        body: { ...(chosen && { uuid: chosen }), ...parameters },
        headers: keyHeader(idempotencyKey),
        signal,
      })
    },

    batch(fractals, { idempotencyKey, signal } = {}) {
      const body = idempotencyKey === undefined ? fractals.map((f) => ({ uuid: randomUUID(), ...f })) : fractals
      const headers = keyHeader(idempotencyKey)
      return json({ action: 'request fractals', method: 'POST', path: ['v1', 'batch'], body, headers, signal })
    },

    estimate: (body, { signal } = {}) =>
      json({ action: 'estimate a fractal', method: 'POST', path: ['v1', 'estimate'], body, signal }),

    get: (uuid, { asOf, signal } = {}) =>
      json({ action: `get fractal '${uuid}'`, path: fractal(uuid), query: { as_of: asOf }, signal }),

    async events(uuid, { after, since, types, statuses, signal } = {}) {
      const answer: FractalEvents = await json({
        action: `get the events of fractal '${uuid}'`,
        path: fractal(uuid, 'events'),
        query: { after, since, type: listed(types), status: listed(statuses) },
        signal,
      })
      return answer.events
    },

    follow: (options) => followEvents(transport, options),

    list({ page, resultsPerPage, q, asOf, signal } = {}) {
      const query = { page, results_per_page: resultsPerPage, q: q && JSON.stringify(q), as_of: asOf }
      return json({ action: 'list fractals', path: ['v1', 'fractal'], query, signal })
    },

    listAfter(after, { resultsPerPage, q, asOf, signal } = {}) {
      const query = { after, results_per_page: resultsPerPage, q: q && JSON.stringify(q), as_of: asOf }
      return json({ action: 'list fractals', path: ['v1', 'fractal'], query, signal })
    },

    async *all({ resultsPerPage = 100, ...options } = {}) {
      for (let after: string | null = '0'; after !== null; ) {
        const page: KeysetPage = await client.listAfter(after, { resultsPerPage, ...options })
        yield* page.objects
        after = page.next
      }
    },

    async image(uuid, { signal } = {}) {
      const action = `get the image of fractal '${uuid}'`
      const response = await send({ action, path: fractal(uuid, 'image'), signal })
      const { body, headers } = response
      if (!body) throw new FaafoError('unreachable', `cannot ${action}: the answer is empty`)
      const length = headers.get('content-length')
      return {
        checksum: /^(?:W\/)?"([0-9a-f]{64})"$/.exec(headers.get('etag') ?? '')?.[1] ?? null,
        size: length === null ? null : Number(length),
        stream: body,
        bytes: async () => new Uint8Array(await response.arrayBuffer()),
      }
    },

    cancel: (uuid, { signal } = {}) =>
      json({ action: `cancel fractal '${uuid}'`, method: 'POST', path: fractal(uuid, 'cancel'), signal }),

    retry: (uuid, { signal } = {}) =>
      // a second one would be refused, since the fractal is in work by then
      json({
        action: `retry fractal '${uuid}'`,
        method: 'POST',
        path: fractal(uuid, 'retry'),
        signal,
        repeatable: false,
      }),

    async remove(uuid, { signal } = {}) {
      const answer = await send({ action: `delete fractal '${uuid}'`, method: 'DELETE', path: fractal(uuid), signal })
      await answer.body?.cancel()
    },

    operations: operationsClient(transport),

    webhooks: webhooksClient(transport),

    status: ({ signal } = {}) => json({ action: 'ask for the status', path: ['v1', 'status'], signal }),

    ready: ({ signal } = {}) => json({ action: 'ask whether it is ready', path: ['readyz'], signal, answers: [503] }),

    watch: (uuids, watching) => watchFractals(client, uuids, watching),

    async waitFor(uuid, { onProgress, ...watching } = {}) {
      for await (const { objects } of client.watch([uuid], watching)) {
        const [seen] = objects
        if (!seen) break
        onProgress?.(seen)
        if (isFinished(seen)) return seen
      }
      throw new FaafoError('removed', `cannot wait for fractal '${uuid}': it was deleted`)
    },
  }
  return client
}

const keyHeader = (key: string | undefined) => (key === undefined ? undefined : { 'idempotency-key': key })
