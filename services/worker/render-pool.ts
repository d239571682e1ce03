import { once } from 'node:events'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'
import { costOf } from '../../events/cost.ts'
import type { RenderJob } from '../kernel/description.ts'
import { abortedError } from '../kernel/render.ts'
import { bandwise } from './bandwise.ts'
import { errorOf, type Failure, threadLost } from './failure.ts'
import { isSmall, type Renderer, SMALL } from './rendering.ts'
import type { SmallPicture } from './thread-main.ts'

const MAX_BATCH = 16

export type RenderPool = {
  render: Renderer
  /** Ends the threads, whatever they do, once they have loaded. */
  close(): Promise<void>
}

/** So many threads that render, whole pictures where they are small, else bands of one. */
export function createRenderPool(threads: number): RenderPool {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const pool = new Piscina({
    filename: fileURLToPath(new URL(`./thread-main.${extension}`, import.meta.url)),
    minThreads: threads,
    maxThreads: threads,
    ...tsxInThreads(),
  })
  let closing = false
  // A thread that is being ended may still answer, which the pool does not expect; else an error of it is nobody's.
  pool.on('error', (error) => {
    if (!closing) throw error
  })
  // One that is ended while it still loads may abort the whole process.
  const loaded = Promise.allSettled(
    pool.threads.map((thread) => Promise.race([once(thread, 'message'), once(thread, 'exit')])),
  )
  const renderSmall = batches(threads, (jobs) => pool.run(jobs, { name: 'renderSmall' }))
  const renderLarge = bandwise(threads, (job) => pool.run(job, { name: 'renderBands', transferList: [job.port] }))
  return {
    render: (job, signal) => (isSmall(job.params) ? renderSmall(job, signal) : renderLarge(job, signal)),
    async close() {
      closing = true
      for (const thread of pool.threads) thread.ref()
      await loaded
      await pool.destroy()
    },
  }
}

/** In development: tsx does not reach into the threads of Node 20 by itself. */
function tsxInThreads(): { execArgv?: string[] } {
  if (!process.execArgv.some((flag) => flag.includes('tsx'))) return {}
  const register = `import { register } from '${import.meta.resolve('tsx/esm/api')}'; register()`
  return { execArgv: ['--import', `data:text/javascript,${encodeURIComponent(register)}`] }
}

type Waiting = {
  job: RenderJob
  signal: AbortSignal
  done: (picture: SmallPicture | Failure) => void
  refuse: (error: unknown) => void
}

/** Gathers small jobs that wait and gives them to the threads together, as soon as one may be free. */
function batches(threads: number, run: (jobs: RenderJob[]) => Promise<(SmallPicture | Failure)[]>): Renderer {
  let waiting: Waiting[] = []
  let running = 0
  let scheduled = false

  function schedule() {
    if (scheduled || waiting.length === 0) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      // One batch more than there are threads, so that none waits while we are busy.
      while (running <= threads && waiting.length > 0) void runBatch(takeBatch())
    })
  }

  function takeBatch(): Waiting[] {
    const most = Math.min(MAX_BATCH, Math.ceil(waiting.length / (threads + 1 - running)))
    let steps = 0
    let size = 0
    for (const { job } of waiting.slice(0, most)) {
      steps += costOf(job.params)
      if (size > 0 && steps > SMALL.steps) break
      size++
    }
    const batch = waiting.slice(0, size)
    waiting = waiting.slice(size)
    return batch
  }

  async function runBatch(batch: Waiting[]): Promise<void> {
    running++
    const wanted = batch.filter(({ signal }) => !signal.aborted)
    try {
      const results = wanted.length > 0 ? await run(wanted.map(({ job }) => job)) : []
      for (const [i, result] of results.entries()) wanted[i]?.done(result)
    } catch (error) {
      // The thread is gone. One of them did it, so that from now on each is on its own.
      if (wanted.length === 1) wanted[0]?.refuse(threadLost(error))
      else for (const one of wanted) void runBatch([one])
    } finally {
      for (const one of batch) if (one.signal.aborted) one.refuse(abortedError())
      running--
      schedule()
    }
  }

  return async (job, signal) => {
    const picture = await new Promise<SmallPicture | Failure>((done, refuse) => {
      waiting.push({ job, signal, done, refuse })
      schedule()
    })
    if ('error' in picture) throw errorOf(picture)
    const startedAt = performance.now() - picture.ms
    return {
      chunks: [picture.png],
      pixelChecksum: () => picture.pixelChecksum,
      rows: () => job.params.height,
      startedAt: () => startedAt,
      stop: () => {},
    }
  }
}
