import type { Context } from 'hono'
import { type FaafoError, isFaafoError } from '../../events/errors.ts'
import { durabilityOf } from '../platform/durability.ts'
import { VERSION } from '../platform/identity.ts'
import type { Api } from './api.ts'
import { projectionHealth } from './projection.ts'
import type { Health } from './readiness-log.ts'
import { readCheckpoint } from './reading.ts'
import type { Ready } from './schemas.ts'
import { withinTime } from './time-limit.ts'

const CHECK_MS = 1_000

/** GET /healthz: this process answers. */
export const getHealth = (c: Context): Response => c.json({ status: 'ok' })

/** GET /readyz: 200 while this api can append, 503 while not. What else is amiss only degrades it. */
export async function getReady(api: Api, c: Context): Promise<Response> {
  const [{ replicas, ...log }, database, storage, projection] = await Promise.all([
    logHealth(api),
    healthOf(api, 'database', () => readCheckpoint(api.db)),
    healthOf(api, 'storage', () => api.images.check()),
    projectionHealth(api),
  ])
  const { version, durability } = brokerHealth(api, replicas)
  const seen = api.live.workers().length
  const parts = {
    broker: { ...log, version, replicas },
    durability,
    database,
    storage: { ...storage, kind: api.images.kind },
    projection,
    workers: { ...(seen > 0 ? ok : degraded('no worker was heard of: requests wait')), seen },
  }
  const canAppend = log.status !== 'unavailable'
  const isWell = Object.values(parts).every((part) => part.status === 'ok')
  const status = canAppend ? (isWell ? 'ok' : 'degraded') : 'unavailable'
  api.noteReadiness(status, parts)
  c.header('Cache-Control', 'no-store')
  if (!canAppend) c.header('Retry-After', '1')
  return c.json({ status, version: VERSION, ...parts } satisfies Ready, canAppend ? 200 : 503)
}

const ok: Health = { status: 'ok' }
const degraded = (reason: string): Health => ({ status: 'degraded', reason })
const unavailable = (reason: string): Health => ({ status: 'unavailable', reason })

/** `replicas`: those that the stream has, null while it does not answer. */
async function logHealth(api: Api): Promise<Health & { replicas: number | null }> {
  try {
    const { replicas } = await withinTime(CHECK_MS, api.log.head(), () => new Error('no answer'))
    const full = api.logSpace.problem()
    return { ...(full === null ? ok : unavailable(full)), replicas }
  } catch {
    const reason = api.broker.isConnected() ? 'the stream does not answer' : 'there is no connection to the broker'
    return { ...unavailable(reason), replicas: null }
  }
}

function brokerHealth(
  { broker, syncInterval }: Api,
  replicas: number | null,
): { version: string | null; durability: Ready['durability'] } {
  const version = broker.isConnected() ? (broker.nc().info?.version ?? null) : null
  const { isSafe, ...told } = durabilityOf({ version, replicas, syncInterval })
  return { version, durability: { status: isSafe ? 'ok' : 'degraded', ...told } }
}

async function healthOf(api: Api, what: 'database' | 'storage', check: () => Promise<unknown>): Promise<Health> {
  try {
    await withinTime(CHECK_MS, check(), () => new Error('no answer'))
    return ok
  } catch (error) {
    if (!isFaafoError(error)) return degraded(`the ${what} does not answer`)
    api.logger.debug({ code: error.code, reason: error.message }, `${what} degraded`)
    return degraded(reasons[error.code] ?? `the ${what} cannot be reached`)
  }
}

const reasons: Partial<Record<FaafoError['code'], string>> = {
  'storage-full': 'the storage is full',
  'storage-unavailable': 'the storage cannot be written',
}
