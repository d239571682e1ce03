import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'
import { FaafoError } from '../../events/errors.ts'
import { costOf } from '../../events/fractal.ts'
import type { RenderJob } from '../kernel/description.ts'
import { abortedError, assemblePng, bandsOf, MOST_BAND_PIXELS, pixelsOf, type RenderedBand } from '../kernel/render.ts'
import { errorOf, type Failure } from './failure.ts'
import { isSmall, type Renderer, SMALL } from './rendering.ts'
import { type BandJob, type DrawnBand, type SmallPicture, word } from './thread-main.ts'

const MAX_BATCH = 16

export type RenderPool = {
  render: Renderer
  /** Ends the threads, whatever they do. */
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
  const renderSmall = batches(threads, (jobs) => pool.run(jobs, { name: 'renderSmall' }))
  const renderLarge = bandwise(threads, (job) => pool.run(job, { name: 'renderBand' }))
  return {
    render: (job, signal) => (isSmall(job.params) ? renderSmall(job, signal) : renderLarge(job, signal)),
    close() {
      closing = true
      return pool.destroy()
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

type GivenBand = { room: SharedArrayBuffer; indices: Uint8Array; drawn: Promise<DrawnBand | Failure> }

/**
 * Renders large pictures band by band, on all threads. The threads go to the picture that came first, and to the next
 * one as soon as there are not bands enough left. A picture whose reader is slow waits for it.
 */
function bandwise(threads: number, run: (job: BandJob) => Promise<DrawnBand | Failure>): Renderer {
  /** Gives out one more band, where there is one to be given out now. */
  const pictures: (() => Promise<unknown> | null)[] = []
  let running = 0
  /** Room for a band's indices, shared with the thread that draws it: what is free of what was ever needed. */
  const rooms: SharedArrayBuffer[] = []

  /** Frees the room of a band that nobody reads any more, once nobody draws it. */
  function release({ room, drawn }: GivenBand): void {
    const free = () => void rooms.push(room)
    drawn.then(free, free)
  }

  /** One band more than there are threads, so that none waits while we are busy. */
  function giveOut(): void {
    while (running <= threads) {
      const given = pictures.reduce<Promise<unknown> | null>((found, next) => found ?? next(), null)
      if (!given) return
      running++
      void given.finally(() => {
        running--
        giveOut()
      })
    }
  }

  return async ({ uuid, params }, signal) => {
    if (signal.aborted) throw abortedError()
    const shared = new Int32Array(new SharedArrayBuffer(4 * word.count))
    const waiting = bandsOf(params)
    const bandCount = waiting.length
    let given: GivenBand[] = []
    const isStopped = () => Atomics.load(shared, word.stop) !== 0
    let wake = () => {}
    let startedAt: number | undefined
    let pixelChecksum = ''

    function next(): Promise<unknown> | null {
      const band = given.length <= threads + 1 ? waiting.shift() : undefined
      if (!band) return null
      const room = rooms.pop() ?? new SharedArrayBuffer(MOST_BAND_PIXELS)
      const indices = new Uint8Array(room, 0, pixelsOf(params, band))
      const drawn = run({ uuid, params, band, indices, shared })
      given.push({ room, indices, drawn })
      wake()
      return drawn.catch(() => {}) // its reader is told
    }

    async function* bands(): AsyncGenerator<RenderedBand, void> {
      for (let left = bandCount; left > 0; left--) {
        giveOut()
        while (given.length === 0 && !isStopped()) {
          await new Promise<void>((done) => {
            wake = done
          })
        }
        const first = given.shift()
        if (!first) throw abortedError()
        try {
          const drawn = await first.drawn.catch((error) => {
            throw threadLost(error)
          })
          if (isStopped()) throw abortedError()
          if ('error' in drawn) throw errorOf(drawn)
          startedAt ??= drawn.beganAt - performance.timeOrigin
          yield { indices: first.indices, piece: drawn.piece }
        } finally {
          release(first)
        }
      }
    }

    async function* chunks(): AsyncGenerator<Uint8Array, void> {
      const result = yield* assemblePng({ uuid, params }, bands())
      pixelChecksum = result.pixelChecksum
    }

    const stop = () => {
      Atomics.store(shared, word.stop, 1)
      signal.removeEventListener('abort', stop)
      wake()
      for (const one of given) release(one)
      given = []
      const at = pictures.indexOf(next)
      if (at >= 0) pictures.splice(at, 1)
    }
    signal.addEventListener('abort', stop)
    pictures.push(next)
    giveOut()
    return {
      chunks: chunks(),
      pixelChecksum: () => pixelChecksum,
      rows: () => Atomics.load(shared, word.rows),
      startedAt: () => startedAt ?? performance.now(),
      stop,
    }
  }
}

const threadLost = (error: unknown) =>
  new FaafoError('render-crashed', 'cannot render the fractal: the thread that rendered it ended', { cause: error })
