import { backoffMs, planAttempt } from '../../events/attempts.ts'
import { costOf } from '../../events/cost.ts'
import { FaafoError } from '../../events/errors.ts'
import type { EventData } from '../../events/events.ts'
import { KERNEL_VERSION } from '../kernel/julia.ts'
import { VERSION } from '../platform/identity.ts'
import type { Logger } from '../platform/logger.ts'
import type { RenderProgress } from '../platform/presence.ts'
import type { ImageStore } from '../storage/image-store.ts'
import type { AttemptLog, Request } from './attempt-log.ts'
import { fateOf, taskErrorOf } from './fate.ts'
import type { Renderer } from './rendering.ts'
import type { Trouble } from './trouble.ts'
import { watchRender } from './watch.ts'

/** What becomes of the task's message: it is done, or it is to be delivered again. */
export type Settlement = { type: 'ack' } | { type: 'nak'; delayMs: number }

export type TaskParts = {
  attempts: AttemptLog
  images: Pick<ImageStore, 'put'>
  trouble: Trouble
  /** Renders in a thread. */
  render: Renderer
  /** Renders in a process of its own. */
  renderIsolated: Renderer
  /** Runs one piece of work after the other. */
  isolation: <T>(work: () => Promise<T>) => Promise<T>
  worker: string
  announce: (uuid: string, progress: RenderProgress) => void
  logger: Logger
}

type Task = {
  request: Request
  /** Whether nobody can have worked on it, as far as the broker knows. */
  fresh: boolean
  /** Fires when the worker stops: the task is then handed back. */
  signal: AbortSignal
}

/** A picture of so few steps (some 4 ms) is drawn rather than asked about; an outcome that is there wins all the same. */
const LOOK_STEPS = 4e6

const ack: Settlement = { type: 'ack' }

/** One task from delivery to settlement. Does not throw. */
export async function runTask(task: Task, parts: TaskParts): Promise<Settlement> {
  const { request, signal } = task
  const { attempts, trouble, logger } = parts
  const outlast = <T>(action: () => Promise<T>) => trouble.outlast(action, signal)
  try {
    if (task.fresh) {
      const looks = costOf(request.data.params) > LOOK_STEPS
      const [closed, started] = await Promise.all([
        looks && outlast(() => attempts.isClosed(request)),
        attempts.start(request, 1, false),
      ])
      if (closed) return ack
      if (started) return await runAttempt(task, { started: 1, isolated: false }, parts)
    }
    return await resume()
  } catch (error) {
    if (!signal.aborted) logger.error({ err: error, fractal: request.fractal }, 'task given back')
    return { type: 'nak', delayMs: signal.aborted ? 0 : backoffMs(1) }
  }

  /** Goes on with a task that somebody has begun before. */
  async function resume(): Promise<Settlement> {
    const record = await outlast(() => attempts.read(request))
    if (await outlast(() => attempts.isClosed(request))) return ack
    const plan = planAttempt(record)
    if (plan.type === 'give-up') return await giveUp(request, plan, parts)
    if (!plan.isolated) return await begin(false)
    // Waiting for its turn it has not begun yet: were it to end with this process, that would look like its doing.
    return await parts.isolation(() => begin(true))

    async function begin(isolated: boolean): Promise<Settlement> {
      const started = record.entry + 1
      if (!(await attempts.start(request, started, isolated))) return { type: 'nak', delayMs: 0 }
      return await runAttempt(task, { started, isolated }, parts)
    }
  }
}

type Attempt = { started: number; isolated: boolean }
type Outlast = <T>(action: () => Promise<T>) => Promise<T>

async function runAttempt(task: Task, attempt: Attempt, parts: TaskParts): Promise<Settlement> {
  const { request, signal } = task
  const { attempts, trouble, logger } = parts
  const { fractal, data } = request
  const outlast: Outlast = (action) => trouble.outlast(action, signal)
  const bound = { fractal, generation: data.generation, entry: attempt.started }
  // Fires when the render is to stop: with the worker, or because nobody needs the picture any more.
  const render = new AbortController()
  const stop = () => render.abort('stop')
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })
  try {
    const image = await trouble.outlast(() => renderAndStore(task, attempt, render, parts), render.signal)
    if (data.expectedPixelChecksum !== undefined && image.pixelChecksum !== data.expectedPixelChecksum) {
      throw new FaafoError(
        'image-lost',
        `cannot mend the image: its pixels were ${data.expectedPixelChecksum}, those rendered now are ${image.pixelChecksum}`,
      )
    }
    const { won } = await attempts.conclude(
      { type: 'TaskCompleted', fractal, data: { generation: data.generation, started: attempt.started, ...image } },
      request,
    )
    if (won) logger.debug({ ...bound, ms: Math.round(image.duration * 1000) }, 'render completed')
    return ack
  } catch (error) {
    if (render.signal.reason === 'closed') {
      logger.info(bound, 'render stopped: no longer wanted')
      return ack
    }
    if (signal.aborted) {
      const stopped = { code: 'aborted', message: 'cannot go on with the render: the worker was stopped' }
      await attempts.fail(request, attempt.started, { error: stopped, counted: false })
      return { type: 'nak', delayMs: 0 }
    }
    logger.warn({ ...bound, err: error }, 'render failed')
    const fate = fateOf(error)
    if (fate === 'drop') return ack
    if (fate === 'release') throw error
    const taskError = taskErrorOf(error)
    await attempts.fail(request, attempt.started, { error: taskError, counted: true })
    const record = await outlast(() => attempts.read(request))
    const plan = planAttempt(record)
    if (plan.type === 'give-up') return await giveUp(request, plan, parts)
    if (fate === 'fail') {
      return await giveUp(request, { error: taskError, attempts: record.attempts }, parts)
    }
    return { type: 'nak', delayMs: backoffMs(record.failures + record.crashes) }
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

type Image = Omit<EventData['TaskCompleted'], 'generation' | 'started'>

async function renderAndStore(
  { request }: Task,
  { isolated }: Attempt,
  render: AbortController,
  parts: TaskParts,
): Promise<Image> {
  const { fractal: uuid, data } = request
  const { generation, params } = data
  const rendering = await (isolated ? parts.renderIsolated : parts.render)({ uuid, params }, render.signal)
  const endWatch = watchRender({
    tell: () => parts.announce(uuid, { generation, done: rendering.rows(), total: params.height }),
    isClosed: () => parts.attempts.isClosed(request),
    onClosed: () => render.abort('closed'),
    logger: parts.logger,
  })
  try {
    const { key, size } = await parts.images.put(rendering.chunks, { signal: render.signal })
    return {
      checksum: key,
      pixelChecksum: rendering.pixelChecksum(),
      size,
      duration: (performance.now() - rendering.startedAt()) / 1000,
      generatedBy: parts.worker,
      imageKey: key,
      kernelVersion: KERNEL_VERSION,
    }
  } finally {
    endWatch()
    rendering.stop()
  }
}

async function giveUp(
  request: Request,
  { error, attempts }: Pick<EventData['TaskFailed'], 'error' | 'attempts'>,
  parts: TaskParts,
): Promise<Settlement> {
  const { fractal, data } = request
  const { generation } = data
  await parts.attempts.conclude(
    { type: 'TaskFailed', fractal, data: { generation, error, attempts, version: VERSION } },
    request,
  )
  parts.logger.warn({ fractal, generation, attempts, ...error }, 'task failed')
  return ack
}
