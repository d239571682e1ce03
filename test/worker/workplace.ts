import { join } from 'node:path'
import process from 'node:process'
import { v4 } from 'uuid'
import type { AttemptEvent } from '../../events/attempts.ts'
import type { EventData, NewEvent, RecordedEvent } from '../../events/events.ts'
import { type FractalParams, hashRequest } from '../../events/fractal.ts'
import { type Broker as Connection, openBroker } from '../../services/platform/broker.ts'
import { parseConfig } from '../../services/platform/config.ts'
import { identify } from '../../services/platform/identity.ts'
import { createLog, type Log } from '../../services/platform/log.ts'
import { createLogger } from '../../services/platform/logger.ts'
import { renderQueue } from '../../services/platform/work-queue.ts'
import { fileStore } from '../../services/storage/file-store.ts'
import type { ImageStore } from '../../services/storage/image-store.ts'
import { createRenderPool } from '../../services/worker/render-pool.ts'
import type { Renderer } from '../../services/worker/rendering.ts'
import { runWorker, type WorkerParts } from '../../services/worker/worker.ts'
import { type Broker, startBroker } from '../support/broker.ts'
import { type Child, startOurs } from '../support/child.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

export type Request = { uuid: string; generation: number }

export type Outcome = RecordedEvent<'TaskCompleted' | 'TaskFailed' | 'TaskCancelled'>

export type WorkerOptions = Partial<Pick<WorkerParts, 'images' | 'name' | 'graceMs'>> & {
  /** What renders, given what would. */
  render?: (render: Renderer) => Renderer
}

export type Workplace = {
  broker: Broker
  connection: Connection
  log: Log
  images: ImageStore
  /** Appends any event, as the services would. */
  append(event: NewEvent): Promise<void>
  request(params: Partial<FractalParams>, data?: Partial<EventData['TaskRequested']>): Promise<Request>
  attempts(request: Request): Promise<AttemptEvent[]>
  /** Waits for it. */
  outcome(request: Request, withinMs?: number): Promise<Outcome>
  /** A worker process, as `faafo worker` starts it; ended with the workplace. */
  startWorker(env?: Record<string, string>): Promise<Child>
  /** What a broker does that loses its consumers: everything is delivered again, as if for the first time. */
  forgetDeliveries(): Promise<void>
  /** A worker in this process, until the returned function is called. */
  runWorker(parts?: WorkerOptions): () => Promise<void>
}

/** Cheap and not trivial. */
export const picture: FractalParams = {
  width: 64,
  height: 48,
  iterations: 255,
  xa: -2,
  xb: 2,
  ya: -1.5,
  yb: 1.5,
  cx: -0.4,
  cy: 0.6,
}

/** No pixel of it escapes and no orbit repeats, so that it takes as long as its size says: some 10 s for each 10¹⁰ steps. */
export const slowPicture = (steps: number): FractalParams => ({
  ...{ xa: -0.1, xb: 0.1, ya: -0.1, yb: 0.1, cx: 0.25, cy: 0 },
  ...{ width: 1000, height: 1000, iterations: Math.ceil(steps / 1e6) },
})

/** A broker and an image folder of their own, without any worker yet. */
export async function withWorkplace(use: (workplace: Workplace) => Promise<void>): Promise<void> {
  await withTempDir(async (dir) => {
    const ends: (() => Promise<unknown>)[] = []
    try {
      await use(await openWorkplace(dir, ends))
    } finally {
      for (const end of ends.reverse()) await end()
    }
  })
}

async function openWorkplace(dir: string, ends: (() => Promise<unknown>)[]): Promise<Workplace> {
  const logger = createLogger('test', { logLevel: process.env.LOG_LEVEL ?? 'silent' })
  const broker = await startBroker(dir)
  ends.push(() => broker.stop())
  const config = parseConfig({ NATS_URL: broker.url })
  const connection = openBroker({ ...config.broker, url: broker.url }, 'test', logger)
  ends.push(() => connection.close())
  await connection.ready
  const log = createLog(connection)
  const imageDir = join(dir, 'images')
  const images = fileStore(imageDir)
  const append = async (event: NewEvent) => {
    await log.append(identify(event, '/test'))
  }

  return {
    broker,
    connection,
    log,
    images,
    append,

    async request(params, data = {}) {
      const uuid = v4()
      const all = { ...picture, ...params }
      const requested = { generation: 1, cause: 'created' as const, chosen: [], requestHash: hashRequest(all) }
      await append({ type: 'TaskRequested', fractal: uuid, data: { ...requested, params: all, ...data } })
      return { uuid, generation: data.generation ?? 1 }
    },

    async attempts({ uuid }) {
      const events = await log.history(uuid)
      return events.filter((e): e is AttemptEvent => e.type === 'TaskStarted' || e.type === 'TaskAttemptFailed')
    },

    async outcome({ uuid, generation }, withinMs = 60_000) {
      const subject = connection.names.outcome(uuid, generation)
      let outcome: RecordedEvent | null = null
      await until(
        async () => {
          outcome = await log.read(subject).catch(() => null)
          return outcome !== null
        },
        { what: `there is an outcome of ${uuid}`, withinMs },
      )
      return outcome as unknown as Outcome
    },

    async startWorker(env = {}) {
      const child = await startOurs('services/worker/main', ['--supervised'], {
        env: {
          ...process.env,
          NATS_URL: broker.url,
          STORAGE_URL: `file:${imageDir}`,
          RENDER_THREADS: '2',
          ...env,
        },
      })
      ends.push(() => (child.ended() ? Promise.resolve() : child.end('SIGKILL')))
      return child
    },

    async forgetDeliveries() {
      const jsm = await connection.nc().jetstreamManager()
      const { stream, renderConsumer } = connection.names
      await jsm.consumers.delete(stream, renderConsumer).catch(() => {}) // not made yet
    },

    runWorker({ render = (inner: Renderer) => inner, ...parts } = {}) {
      const stop = new AbortController()
      const threads = 2
      const pool = createRenderPool(threads)
      const running = runWorker(
        {
          ...{ broker: connection, log, queue: renderQueue(connection, logger), images, threads, logger },
          ...{ render: render(pool.render), name: 'here', ...parts },
        },
        stop.signal,
      )
      const end = async () => {
        stop.abort()
        await running
        await pool.close()
      }
      ends.push(end)
      return end
    },
  }
}
