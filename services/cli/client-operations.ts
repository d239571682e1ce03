import { randomUUID } from 'node:crypto'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { DryRun, OperationObject, OperationRequest } from '../api/operation-schemas.ts'
import { pause } from '../platform/shutdown.ts'
import type { Transport } from './transport.ts'

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 1_000
const PATIENCE_MS = 30_000

type Cancellable = { signal?: AbortSignal | undefined }
/** What is to happen to which fractals; an empty list of filters means all of them. */
export type Bulk = Omit<OperationRequest, 'dry_run'>

export type OperationsClient = {
  /**
   * Requests an operation. Without `id` one is made here, unless an idempotency key identifies it. Requesting the same
   * again changes nothing.
   */
  begin(bulk: Bulk, options?: Cancellable & { idempotencyKey?: string }): Promise<OperationObject>
  /** How many fractals match now. Nothing is recorded. */
  count(bulk: Bulk, options?: Cancellable): Promise<number>
  /** Throws `not-found`. */
  get(id: string, options?: Cancellable): Promise<OperationObject>
  /** Nothing more is begun; what was changed stays so. Throws `not-found`, `illegal-transition` where it is completed. */
  stop(id: string, options?: Cancellable): Promise<OperationObject>
  /** Resolves once it is over. An api that is away is waited for, `patienceMs` (default 30,000) at a time. */
  waitFor(
    id: string,
    options?: Cancellable & { patienceMs?: number; onProgress?: (operation: OperationObject) => void },
  ): Promise<OperationObject>
}

export function operationsClient({ json }: Transport): OperationsClient {
  const path = (...rest: string[]) => ['v1', 'operations', ...rest]
  const get: OperationsClient['get'] = (id, { signal } = {}) =>
    json({ action: `get operation '${id}'`, path: path(id), signal })

  return {
    get,

    begin({ id, ...bulk }, { idempotencyKey, signal } = {}) {
      const chosen = id ?? (idempotencyKey === undefined ? randomUUID() : undefined)
      return json({
        action: `${bulk.action} fractals`,
        method: 'POST',
        path: path(),
        body: { ...(chosen && { id: chosen }), ...bulk },
        headers: idempotencyKey === undefined ? undefined : { 'idempotency-key': idempotencyKey },
        signal,
      })
    },

    async count(bulk, { signal } = {}) {
      const body = { ...bulk, dry_run: true }
      const { matched }: DryRun = await json({ action: 'count fractals', method: 'POST', path: path(), body, signal })
      return matched
    },

    stop: (id, { signal } = {}) =>
      json({ action: `stop operation '${id}'`, method: 'POST', path: path(id, 'cancel'), signal }),

    async waitFor(id, { signal, patienceMs = PATIENCE_MS, onProgress } = {}) {
      let pauseMs = FIRST_PAUSE_MS
      let awaySince: number | null = null
      for (;;) {
        try {
          const operation = await get(id, { signal })
          awaySince = null
          onProgress?.(operation)
          if (operation.finished_at !== null) return operation
        } catch (error) {
          awaySince ??= Date.now()
          const passes = isFaafoError(error, 'unreachable') || (isFaafoError(error) && error.details.status === 503)
          if (!passes || Date.now() - awaySince >= patienceMs) throw error
        }
        await pause(pauseMs, signal)
        if (signal?.aborted) throw new FaafoError('aborted', 'cannot go on waiting: interrupted')
        pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS)
      }
    },
  }
}
