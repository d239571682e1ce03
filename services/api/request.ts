import type { Context } from 'hono'
import { v5, v7 } from 'uuid'
import { cursorOf } from '../../events/cursor.ts'
import { FaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { type FractalParams, type FractalRequest, hashRequest, parseFractalRequest } from '../../events/fractal.ts'
import { type Command, decide, type Fractal, fold, isFractal } from '../../events/task.ts'
import { chooseConstant } from '../kernel/constant.ts'
import type { Api } from './api.ts'
import { parseJson, readBody } from './body.ts'
import { requireBudget } from './budget.ts'
import { shown } from './object.ts'
import { traceOf } from './trace.ts'
import { append, type Links, writing } from './writing.ts'

export const MAX_BODY_BYTES = 64 * 1024
/** Namespace of the uuids that idempotency keys lead to (v5). It never changes: the log's slots are the memory. */
export const KEY_NAMESPACE = '6d0a8a1e-1a4e-5b0c-9a83-6f0f5d4d2c11'
/** Whose keys they are, until callers have names. */
export const CALLER = 'anonymous'

export type Requested = { status: 200 | 201; fractal: Fractal; replayed: boolean }
export type RequestOptions = Pick<Links, 'traceparent'> & {
  key: string | null
  /** Place in a batch. */
  index: number
  /** Once it fires nothing is appended any more. */
  signal?: AbortSignal
}

/** POST /v1/fractal */
export async function postFractal(api: Api, c: Context): Promise<Response> {
  const key = idempotencyKeyOf(c)
  const json = parseJson(await readBody(c, MAX_BODY_BYTES))
  const { status, fractal, replayed } = await requestFractal(api, json, { key, index: 0, traceparent: traceOf(c) })
  if (replayed) c.header('Idempotent-Replayed', 'true')
  c.header('Location', `/v1/fractal/${fractal.uuid}`)
  c.header('Faafo-Cursor', cursorOf(fractal.last))
  return c.json(shown(api, fractal), status)
}

/** The key of `Idempotency-Key`, null where none was sent. Throws `invalid-request`. */
export function idempotencyKeyOf(c: Context): string | null {
  const key = c.req.header('idempotency-key')
  if (key === undefined) return null
  if (/^[\x20-\x7e]{1,255}$/.test(key)) return key
  throw new FaafoError(
    'invalid-request',
    'cannot use the Idempotency-Key: expected 1 to 255 printable ASCII characters',
  )
}

/**
 * Requests one fractal from untrusted JSON. Nothing is read before the append: the slot says who came first.
 * Throws `invalid-request`, `already-exists`, `removed`, `idempotency-mismatch`, `log-unavailable`, `log-full`.
 */
export async function requestFractal(api: Api, json: unknown, options: RequestOptions): Promise<Requested> {
  const request = parseFractalRequest(json)
  const command = commandOf(api, request, options)
  const uuid = command.fractal
  const { key, traceparent, signal } = options
  if (!signal?.aborted) await requireBudget(request, command.params, api.computeBudget)
  if (signal?.aborted) {
    throw new FaafoError('log-unavailable', `cannot request fractal '${uuid}': the broker is away`, {
      details: { uuid },
    })
  }
  return writing(
    uuid,
    (async () => {
      const { won, event } = await append(api, requestedBy(command), { traceparent })
      if (won) return { status: 201, fractal: asRequested(event), replayed: false }
      return key === null ? repeated(api, command) : replayed(api, command, event as RecordedEvent<'TaskRequested'>)
    })(),
  )
}

type RequestCommand = Extract<Command, { type: 'request' }>

/** Fills in what the caller left to us. */
function commandOf(api: Api, request: FractalRequest, { key, index }: RequestOptions): RequestCommand {
  const { uuid: given, cx, cy } = request
  const chosen: string[] = []
  if (given === undefined && key === null) chosen.push('uuid')
  if (cx === undefined || cy === undefined) chosen.push('cx', 'cy')
  const uuid = key === null ? (given ?? v7()) : v5(JSON.stringify([CALLER, key, index]), KEY_NAMESPACE)
  if (given !== undefined && given !== uuid) {
    throw new FaafoError(
      'idempotency-mismatch',
      `cannot request fractal '${given}': the uuid of this Idempotency-Key is '${uuid}'; leave one of them out`,
    )
  }
  return { type: 'request', fractal: uuid, params: paramsOf(api, request), chosen, requestHash: hashRequest(request) }
}

/** What decides the pixels; c is chosen where the caller left it to us. */
export function paramsOf({ random }: Pick<Api, 'random'>, request: FractalRequest): FractalParams {
  const { uuid: _, cx, cy, ...rest } = request
  const constant = cx === undefined || cy === undefined ? chooseConstant(rest, random) : { cx, cy }
  return { ...rest, ...constant }
}

function requestedBy(command: RequestCommand) {
  const [event] = decide(command, { status: 'unknown' })
  if (!event) throw new Error('a request of an unknown fractal leads to an event')
  return event
}

/** The fractal as it was right after its request: what the first answer said. */
function asRequested(event: RecordedEvent): Fractal {
  const task = fold([event])
  if (!isFractal(task)) throw new Error(`event ${event.seq} is no request`)
  return task
}

/** The same uuid again: the fractal as it is now, if it is the same request. */
async function repeated(api: Api, command: RequestCommand): Promise<Requested> {
  const task = await api.log.load(command.fractal)
  decide(command, task)
  if (!isFractal(task)) throw new Error(`fractal '${command.fractal}' has a request and is none`)
  api.freshness.wrote(task.last.seq)
  return { status: 200, fractal: task, replayed: false }
}

/** The same key again: the first answer, if the body is the same. */
async function replayed(api: Api, command: RequestCommand, first: RecordedEvent<'TaskRequested'>): Promise<Requested> {
  const uuid = command.fractal
  if (await api.log.read(api.broker.names.removed(uuid))) decide(command, { status: 'deleted' })
  if (first.data.requestHash === command.requestHash)
    return { status: 201, fractal: asRequested(first), replayed: true }
  throw new FaafoError(
    'idempotency-mismatch',
    `cannot request fractal '${uuid}': its Idempotency-Key was used with another body`,
    { details: { uuid } },
  )
}
