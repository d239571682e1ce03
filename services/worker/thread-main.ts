import { Buffer } from 'node:buffer'
import type { MessagePort } from 'node:worker_threads'
import { isFaafoError, messageOf } from '../../events/errors.ts'
import { renderPng } from '../kernel/render.ts'
import { announceRender, type RenderJob } from './rendering.ts'

/*
 * What runs in a render thread. A render's error is an answer here: a call that is rejected means that the thread
 * itself is gone.
 */

export type Failure = { error: { code: string; message: string } }
/** `ms`: how long it took. */
export type SmallPicture = { png: Uint8Array; pixelChecksum: string; ms: number }
/** `chunks`: how many were sent. */
export type LargePicture = { chunks: number; pixelChecksum: string }

/** Words of the shared memory between a large render and its reader. */
export const word = {
  /** Not 0: the render is to stop. */
  stop: 0,
  /** Whole rows rendered. */
  rows: 1,
  /** Chunks that the reader has taken. */
  taken: 2,
  count: 3,
} as const

/** Chunks that may be under way to the reader. */
const WINDOW = 16

export type LargeJob = RenderJob & { port: MessagePort; shared: Int32Array }

/** Renders pictures that are small enough to be sent whole. */
export async function renderSmall(jobs: readonly RenderJob[]): Promise<(SmallPicture | Failure)[]> {
  const results: (SmallPicture | Failure)[] = []
  for (const job of jobs) results.push(await renderWhole(job).catch(failureOf))
  return results
}

async function renderWhole(job: RenderJob): Promise<SmallPicture> {
  announceRender(job)
  const startedAt = performance.now()
  const render = renderPng(job.params)
  const chunks: Uint8Array[] = []
  let next = await render.next()
  for (; !next.done; next = await render.next()) chunks.push(next.value)
  // A copy, since a small Buffer is cut from a pool that would be sent along.
  const png = Uint8Array.from(Buffer.concat(chunks))
  return { png, pixelChecksum: next.value.pixelChecksum, ms: performance.now() - startedAt }
}

/** Renders a picture of any size. Sends null when it begins, then its chunks, at most WINDOW ahead of the reader. */
export async function renderLarge({ port, shared, uuid, params }: LargeJob): Promise<LargePicture | Failure> {
  const stop = () => Atomics.load(shared, word.stop) !== 0
  try {
    announceRender({ uuid, params })
    port.postMessage(null)
    const render = renderPng(params, { stop, onRows: (done) => Atomics.store(shared, word.rows, done) })
    for (let chunks = 0; ; chunks++) {
      waitForReader(shared, chunks)
      const next = await render.next()
      if (next.done) return { chunks, pixelChecksum: next.value.pixelChecksum }
      port.postMessage(next.value)
    }
  } catch (error) {
    return failureOf(error)
  }
}

/** Blocks the thread, which has nothing else to do. */
function waitForReader(shared: Int32Array, sent: number): void {
  for (;;) {
    const taken = Atomics.load(shared, word.taken)
    if (sent - taken < WINDOW || Atomics.load(shared, word.stop) !== 0) return
    Atomics.wait(shared, word.taken, taken)
  }
}

const failureOf = (error: unknown): Failure => ({
  error: { code: isFaafoError(error) ? error.code : 'internal', message: messageOf(error) },
})
