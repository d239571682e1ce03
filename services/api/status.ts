import { count, eq } from 'drizzle-orm'
import type { Context } from 'hono'
import { FaafoError } from '../../events/errors.ts'
import type { Status as FractalStatus } from '../../events/task.ts'
import { VERSION } from '../platform/identity.ts'
import { oldestWaiting, type Waiting } from '../platform/oldest-waiting.ts'
import { type QueueState, readQueue, renderQueueOf } from '../platform/queue-consumer.ts'
import { fractal } from '../platform/schema.ts'
import type { Api } from './api.ts'
import { projectionHealth } from './projection.ts'
import { query } from './reading.ts'
import type { Status } from './schemas.ts'
import { withinTime } from './time-limit.ts'

const BROKER_MS = 1_000

/** GET /v1/status */
export async function getStatus(api: Api, c: Context): Promise<Response> {
  const [depth, oldest, projection] = await Promise.all([
    queueDepth(api).catch(unknown),
    query('read the queue', () => oldestWaiting(api.db)).catch(unknown),
    projectionHealth(api),
  ])
  const workers = api.live.workers().map(({ id: _, ...worker }) => worker)
  return c.json({
    version: VERSION,
    queue: {
      depth: depth === null ? null : depth.waiting + depth.inHand,
      waiting: depth?.waiting ?? null,
      in_hand: depth?.inHand ?? null,
      oldest_waiting: depth?.waiting === 0 ? null : oldest && shownWait(oldest), // the table may be a moment behind
    },
    workers,
    projection,
  } satisfies Status)
}

/** GET /metrics, for Prometheus. What cannot be had just now is NaN. */
export async function getMetrics(api: Api, c: Context): Promise<Response> {
  const { metrics } = api
  const [depth, projection] = await Promise.all([queueDepth(api).catch(unknown), projectionHealth(api)])
  metrics.queueDepth.set(depth ? depth.waiting + depth.inHand : Number.NaN)
  metrics.workers.set(api.live.workers().length)
  metrics.lagEvents.set(projection.lag_events ?? Number.NaN)
  metrics.lagSeconds.set(projection.lag_seconds ?? Number.NaN)
  metrics.parked.set(projection.parked ?? Number.NaN)
  return c.body(await metrics.registry.metrics(), 200, { 'content-type': metrics.registry.contentType })
}

const unknown = () => null

/** From the workers' consumer; before there was a worker, from the table. */
async function queueDepth(api: Api): Promise<Pick<QueueState, 'waiting' | 'inHand'>> {
  const late = () => new FaafoError('log-unavailable', 'cannot read the queue: the broker did not answer')
  const depth = await withinTime(BROKER_MS, readQueue(api.broker, renderQueueOf(api.broker.names), BROKER_MS), late)
  return depth ?? { waiting: await countOf(api, 'requested'), inHand: 0 }
}

async function countOf({ db }: Api, status: FractalStatus): Promise<number> {
  const [row] = await query('count fractals', () =>
    db.select({ n: count() }).from(fractal).where(eq(fractal.status, status)),
  )
  return row?.n ?? 0
}

const shownWait = ({ uuid, requestedAt, seconds }: Waiting) => ({
  uuid,
  created_at: requestedAt.toISOString(),
  seconds,
})
