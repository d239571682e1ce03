import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { MessageChannel } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { type ErrorCode, FaafoError, messageOf } from '../../events/errors.ts'
import { costOf, type FractalParams } from '../../events/fractal.ts'
import type { Renderer, Rendering, RenderJob } from './rendering.ts'
import { type Failure, type LargePicture, type SmallPicture, word } from './thread-main.ts'

/** A picture of at most so many steps (some 20 ms) and pixels is sent whole, several in one call to a thread. */
const SMALL = { steps: 2e7, pixels: 2 ** 18 }
const MAX_BATCH = 16

export type RenderPool = {
  render: Renderer
  /** Ends the threads, whatever they do. */
  close(): Promise<void>
}

/** So many threads that render; jobs take turns in the order in which they came. */
export function createRenderPool(threads: number): RenderPool {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const pool = new Piscina({
    filename: fileURLToPath(new URL(`./thread-main.${extension}`, import.meta.url)),
    minThreads: threads,
    maxThreads: threads,
    ...tsxInThreads(),
  })
  const renderSmall = batches(threads, (jobs) => pool.run(jobs, { name: 'renderSmall' }))
  return {
    render: (job, signal) => (isSmall(job.params) ? renderSmall(job, signal) : renderLarge(pool, job, signal)),
    close: () => pool.destroy(),
  }
}

/** In development: tsx does not reach into the threads of Node 20 by itself. */
function tsxInThreads(): { execArgv?: string[] } {
  if (!process.execArgv.some((flag) => flag.includes('tsx'))) return {}
  const register = `import { register } from '${import.meta.resolve('tsx/esm/api')}'; register()`
  return { execArgv: ['--import', `data:text/javascript,${encodeURIComponent(register)}`] }
}

const isSmall = (params: FractalParams) => costOf(params) <= SMALL.steps && params.width * params.height <= SMALL.pixels

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
      for (const one of batch) if (one.signal.aborted) one.refuse(stopped())
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
    return {
      chunks: [picture.png],
      pixelChecksum: () => picture.pixelChecksum,
      rows: () => job.params.height,
      startedAt: performance.now() - picture.ms,
      stop: () => {},
    }
  }
}

async function renderLarge(pool: Piscina, job: RenderJob, signal: AbortSignal): Promise<Rendering> {
  if (signal.aborted) throw stopped()
  const shared = new Int32Array(new SharedArrayBuffer(4 * word.count))
  const { port1: port, port2 } = new MessageChannel()
  const arrived: Uint8Array[] = []
  let picture: LargePicture | undefined
  let failure: FaafoError | undefined
  let startedAt: number | undefined
  let wake = () => {}
  const change = () =>
    new Promise<void>((done) => {
      wake = done
    })

  const stop = () => {
    Atomics.store(shared, word.stop, 1)
    Atomics.notify(shared, word.taken)
    signal.removeEventListener('abort', stop)
    port.close()
  }
  signal.addEventListener('abort', stop)
  port.on('message', (chunk: Uint8Array | null) => {
    if (chunk) arrived.push(chunk)
    else startedAt = performance.now()
    wake()
  })
  pool.run({ ...job, port: port2, shared }, { name: 'renderLarge', transferList: [port2] }).then(
    (result: LargePicture | Failure) => {
      if ('error' in result) failure = errorOf(result)
      else picture = result
      wake()
    },
    (error) => {
      failure = signal.aborted ? stopped() : threadLost(error)
      wake()
    },
  )

  async function* chunks(): AsyncGenerator<Uint8Array, void> {
    for (let taken = 0; taken !== picture?.chunks; ) {
      if (failure) throw failure
      const chunk = arrived.shift()
      if (chunk) {
        yield chunk
        taken++
        Atomics.add(shared, word.taken, 1)
        Atomics.notify(shared, word.taken)
      } else {
        await change()
      }
    }
  }

  while (startedAt === undefined && !failure) await change()
  if (failure) {
    stop()
    throw failure
  }
  return {
    chunks: chunks(),
    pixelChecksum: () => picture?.pixelChecksum ?? '',
    rows: () => Atomics.load(shared, word.rows),
    startedAt: startedAt ?? performance.now(),
    stop,
  }
}

const errorOf = ({ error }: Failure) => new FaafoError(error.code as ErrorCode, error.message)

const stopped = () => new FaafoError('aborted', 'cannot render the fractal: it was stopped')

const threadLost = (error: unknown) =>
  new FaafoError('render-crashed', `cannot render the fractal: its thread ended (${messageOf(error)})`, {
    cause: error,
  })
