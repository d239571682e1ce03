import type { Context } from 'hono'
import { v5, v7 } from 'uuid'
import { FaafoError } from '../../events/errors.ts'
import { explain, invalidRequest } from '../../events/fractal.ts'
import { decide, evolve, type NewOperationEvent, type Operation, type OperationEvent } from '../../events/operation.ts'
import { identify } from '../platform/identity.ts'
import { loadOperation } from '../platform/operations.ts'
import { whereOf } from '../platform/q.ts'
import type { Api } from './api.ts'
import { parseJson, readBody } from './body.ts'
import { asItIs } from './list-source.ts'
import { type DryRun, type OperationObject, operationRequestSchema } from './operation-schemas.ts'
import { query } from './reading.ts'
import { CALLER, idempotencyKeyOf, KEY_NAMESPACE } from './request.ts'
import { countRows } from './rows.ts'
import { traceOf } from './trace.ts'
import { parseUuid } from './uuid.ts'
import { appending, writing } from './writing.ts'

/** Room for a filter of some thousand uuids; a message of the broker has to hold it. */
const MAX_BODY_BYTES = 256 * 1024
/** Races with an operator's progress that a stop may lose. */
const TRIES = 5

/** POST /v1/operations. Neither reads nor writes the database, but for a dry run: an operator does. */
export async function postOperation(api: Api, c: Context): Promise<Response> {
  const key = idempotencyKeyOf(c)
  const parsed = operationRequestSchema.safeParse(parseJson(await readBody(c, MAX_BODY_BYTES)), { error: explain })
  if (!parsed.success) throw invalidRequest('request an operation', parsed.error)
  const { id: given, dry_run, ...asked } = parsed.data
  const where = whereOf(asked.filters)
  if (dry_run) {
    const { action, filters } = asked
    await api.freshness.settled()
    const all = { where, orderBy: [], limit: undefined, offset: 0, single: false }
    const matched = await query('count the fractals', () => countRows(api.db, asItIs(api), all))
    return c.json({ dry_run, action, filters, matched } satisfies DryRun)
  }
  const id = idOf(given, key)
  return writing(
    id,
    (async () => {
      const request = { type: 'request', ...asked, upTo: await lastEvent(api) } as const
      const { won, event } = await append(api, decide(request, id, null), { traceparent: traceOf(c) })
      const first = evolve(null, event)
      if (!won) requireSame(request, id, first, key)
      // The same key again gets the first answer again, the same id what has become of it.
      const operation = won || key !== null ? first : await loadOperation(api.operations, id)
      if (!won && key !== null) c.header('Idempotent-Replayed', 'true')
      c.header('Location', `/v1/operations/${id}`)
      return c.json(objectOf(operation ?? missing(id)), won || key !== null ? 202 : 200)
    })(),
    `operation '${id}'`,
  )
}

/** GET /v1/operations/:id. Lists that are read after it through this api show what it had done by then. */
export async function getOperation(api: Api, c: Context): Promise<Response> {
  const id = idIn(c)
  const operation = (await loadOperation(api.operations, id)) ?? missing(id)
  await noteLog(api)
  return c.json(objectOf(operation))
}

/** POST /v1/operations/:id/cancel: what was changed stays so, nothing more is begun. */
export async function postStop(api: Api, c: Context): Promise<Response> {
  const id = idIn(c)
  const operation = await writing(id, stopped(api, id, traceOf(c)), `operation '${id}'`)
  await noteLog(api)
  return c.json(objectOf(operation))
}

async function stopped(api: Api, id: string, traceparent: string | undefined): Promise<Operation> {
  for (let tries = 0; tries < TRIES; tries++) {
    const operation = (await loadOperation(api.operations, id)) ?? missing(id)
    const decided = decide({ type: 'stop' }, id, operation)
    if (decided.length === 0) return operation
    const links = { causationid: operation.cause, correlationid: operation.cause, traceparent }
    const { won, event } = await append(api, decided, links)
    if (won) return evolve(operation, event) ?? operation
  }
  throw new FaafoError('log-unavailable', `cannot stop operation '${id}': it kept changing; try again`)
}

type Links = { traceparent: string | undefined; causationid?: string; correlationid?: string }

/** Appends what was decided, one event. */
async function append(
  api: Api,
  [event]: NewOperationEvent[],
  { traceparent, ...links }: Links,
): Promise<{ won: boolean; event: OperationEvent }> {
  if (!event) throw new Error('nothing was decided')
  const identified = identify(event, api.source, { ...links, ...(traceparent && { traceparent }) })
  return appending(api, event.type, (options) => api.operations.append(identified, options))
}

/** The end of the log just now: what comes later is not for an operation that is requested now. */
async function lastEvent({ log, broker }: Api): Promise<{ fractal: string; event: string } | null> {
  const { lastSeq } = await log.head()
  if (lastSeq === 0) return null
  const event = await log.messageAt(lastSeq)
  if (!event) throw new FaafoError('log-unavailable', `cannot read the log: event ${lastSeq} is not there`)
  return { fractal: event.header('ce-subject') || broker.names.fractalOf(event.subject), event: event.id }
}

/** Has the lists that follow wait for what the log holds now; where it does not answer they are as they are. */
async function noteLog({ log, freshness }: Api): Promise<void> {
  const head = await log.head().catch(() => null)
  if (head) freshness.wrote(head.lastSeq)
}

function idOf(given: string | undefined, key: string | null): string {
  if (key === null) return given ?? v7()
  const id = v5(JSON.stringify([CALLER, key, 'operation']), KEY_NAMESPACE)
  if (given === undefined || given === id) return id
  throw new FaafoError(
    'idempotency-mismatch',
    `cannot begin operation '${given}': the id of this Idempotency-Key is '${id}'; leave one of them out`,
  )
}

function requireSame(
  request: Parameters<typeof decide>[0],
  id: string,
  first: Operation | null,
  key: string | null,
): void {
  try {
    decide(request, id, first)
  } catch (error) {
    if (key === null) throw error
    throw new FaafoError(
      'idempotency-mismatch',
      `cannot begin operation '${id}': its Idempotency-Key was used with another body`,
      { cause: error, details: { uuid: id } },
    )
  }
}

function idIn(c: Context): string {
  const text = c.req.param('id')
  return parseUuid(text) ?? missing(text?.slice(0, 80) ?? '')
}

function missing(id: string): never {
  throw new FaafoError('not-found', `cannot find operation '${id}': there is none of that id`)
}

const timeOf = (ms: number) => new Date(ms).toISOString()

const objectOf = (operation: Operation): OperationObject => ({
  id: operation.id,
  action: operation.action,
  filters: operation.filters,
  rate: operation.rate,
  status: operation.status,
  matched: operation.matched,
  counts: operation.counts,
  reason: operation.reason,
  event_id: operation.cause,
  created_at: timeOf(operation.requestedAt),
  updated_at: timeOf(operation.updatedAt),
  finished_at: operation.finishedAt === null ? null : timeOf(operation.finishedAt),
})
