import type { NewEvent, RecordedEvent } from '../../events/events.ts'
import type { Action } from '../../events/operation.ts'
import type { OperationObject } from '../../services/api/operation-schemas.ts'
import { carryOut, type OperatorParts } from '../../services/operator/carry-out.ts'
import { runOperator } from '../../services/operator/operator.ts'
import { operationQueue, operationsOf } from '../../services/platform/operations.ts'
import type { ProjectorParts } from '../../services/projector/fold-log.ts'
import { json, type Parts, post, withApi } from '../api/with-api.ts'
import { requested } from '../platform/with-log.ts'
import { until } from '../support/until.ts'

/** A busy machine cannot answer any number of reads in time. */
const AT_ONCE = 32
const inPieces = <T>(all: readonly T[]): T[][] =>
  Array.from({ length: Math.ceil(all.length / AT_ONCE) }, (_, i) => all.slice(i * AT_ONCE, (i + 1) * AT_ONCE))

export type OperatorHere = { stop(): Promise<void> }

export type Bulk = Parts & {
  parts: OperatorParts & ProjectorParts
  /** An operator in this process, ended with the test. */
  start(changes?: Partial<OperatorParts>): OperatorHere
  /** Requests an operation; gives its id. */
  bulk(action: Action, filters?: unknown[], more?: Record<string, unknown>): Promise<string>
  operation(id: string): Promise<OperationObject>
  /** The operation once it is over. */
  over(id: string): Promise<OperationObject>
  /** Uuids of so many fractals that nobody renders. */
  createMany(count: number): Promise<string[]>
  /** Waits until the table holds all that the log does. */
  projected(): Promise<void>
  /** Events of these fractals that the operation appended, by type. */
  appendedBy(id: string, uuids: readonly string[]): Promise<Record<string, number>>
}

/** Gives `use` an api, a projector, and operators as they are asked for. */
export const withBulk = (use: (bulk: Bulk) => Promise<void>, options: Parameters<typeof withApi>[1] = {}) =>
  withApi(async (api) => {
    const { app, broker, log, db, logger } = api
    const running: OperatorHere[] = []
    const parts = { broker, log, db, logger, operations: operationsOf(broker), source: '/operator/test' }
    const operation = (id: string): Promise<OperationObject> => json(app.request(`/v1/operations/${id}`))
    try {
      await use({
        ...api,
        parts,
        operation,
        start(changes = {}) {
          const stop = new AbortController()
          const ended = runOperator({ ...parts, queue: operationQueue(broker, logger), ...changes }, stop.signal)
          const operator = {
            async stop() {
              stop.abort()
              await ended
            },
          }
          running.push(operator)
          return operator
        },
        async bulk(action, filters = [], more = {}) {
          const response = await post(app, '/v1/operations', { action, filters, ...more })
          if (response.status !== 202) throw new Error(`${response.status} ${await response.text()}`)
          return (await json(response)).id
        },
        async over(id) {
          await until(async () => (await operation(id)).finished_at !== null, {
            what: async () => `operation ${id} is over: ${JSON.stringify(await operation(id))}`,
            withinMs: 120_000,
          })
          return operation(id)
        },
        async createMany(count) {
          const events = Array.from({ length: count }, () => requested())
          for (const some of inPieces(events)) {
            await Promise.all(some.map((event) => log.append(event, { withinMs: 10_000 })))
          }
          return events.map(({ fractal }) => fractal)
        },
        async projected() {
          const { lastSeq } = await log.head()
          const isThere = async () => (await app.request(`/v1/fractal?min_seq=${lastSeq}`)).ok
          await until(isThere, { what: 'the table is at the end of the log' })
        },
        async appendedBy(id, uuids) {
          const { event_id } = await operation(id)
          const counts: Record<string, number> = {}
          for (const some of inPieces(uuids)) {
            const histories = await Promise.all(some.map((uuid) => log.history(uuid)))
            for (const { type, causationid } of histories.flat()) {
              if (causationid === event_id) counts[type] = (counts[type] ?? 0) + 1
            }
          }
          return counts
        },
      })
    } finally {
      for (const operator of running) await operator.stop()
    }
  }, options)

/** An executor that stands still, for ever or until `release`, after its `n`th append of an event of `type` to the log. */
export function freezingAfter({ parts }: Bulk, n: number, type: NewEvent['type']) {
  let seen = 0
  let release = () => {}
  const released = new Promise<void>((done) => {
    release = done
  })
  const log: OperatorParts['log'] = {
    ...parts.log,
    async append(event, options) {
      if (seen >= n) await released
      const appended = await parts.log.append(event, options)
      if (event.type === type) seen++
      if (seen >= n) await released
      return appended
    },
  }
  const stop = new AbortController()
  return {
    /** Works on the operation until it freezes; then the promise does not settle. */
    begin: (id: string) => carryOut({ ...parts, log }, id, stop.signal),
    isFrozen: () => seen >= n,
    release: () => release(),
    stop: () => stop.abort(),
  }
}

/** The filter for fractals in this status. */
export const status = (val: string) => [{ name: 'status', op: '==', val }]

export const counts = (changed: number, unchanged = 0, unreadable = 0) => ({ changed, unchanged, unreadable })

export const typesOf = (events: RecordedEvent[]) => events.map(({ type }) => type)
