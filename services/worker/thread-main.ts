import { Buffer } from 'node:buffer'
import type { RenderJob } from '../kernel/description.ts'
import { compressRows, type Piece } from '../kernel/png.ts'
import { abortedError, type Band, drawBand, renderPng } from '../kernel/render.ts'
import { type Failure, failureOf } from './failure.ts'
import { announceRender } from './rendering.ts'

/*
 * What runs in a render thread. A render's error is an answer here: a call that is rejected means that the thread
 * itself is gone.
 */

/** `ms`: how long it took. */
export type SmallPicture = { png: Uint8Array; pixelChecksum: string; ms: number }
/** `beganAt`: Unix milliseconds. */
export type DrawnBand = { piece: Piece; beganAt: number }

/** Words of the memory that a large render shares between its threads and whoever asked for it. */
export const word = {
  /** Not 0: the render is to stop. */
  stop: 0,
  /** Whole rows rendered. */
  rows: 1,
  count: 2,
} as const

/** `shared` and `indices` are shared memory; a thread draws into the latter. */
export type BandJob = RenderJob & { band: Band; indices: Uint8Array; shared: Int32Array }

/** Renders pictures that are small enough to be sent whole. */
export async function renderSmall(jobs: readonly RenderJob[]): Promise<(SmallPicture | Failure)[]> {
  const results: (SmallPicture | Failure)[] = []
  for (const job of jobs) results.push(await renderWhole(job).catch(failureOf))
  return results
}

async function renderWhole(job: RenderJob): Promise<SmallPicture> {
  announceRender(job)
  const startedAt = performance.now()
  const render = renderPng(job)
  const chunks: Uint8Array[] = []
  let next = await render.next()
  for (; !next.done; next = await render.next()) chunks.push(next.value)
  // A copy, since a small Buffer is cut from a pool that would be sent along.
  const png = Uint8Array.from(Buffer.concat(chunks))
  return { png, pixelChecksum: next.value.pixelChecksum, ms: performance.now() - startedAt }
}

/** Renders one band of a larger picture into `indices`. */
export function renderBand({ uuid, params, band, indices, shared }: BandJob): DrawnBand | Failure {
  const throwIfStopped = () => {
    if (Atomics.load(shared, word.stop) !== 0) throw abortedError()
  }
  try {
    const beganAt = performance.timeOrigin + performance.now()
    if (band.y0 === 0) announceRender({ uuid, params })
    const drawing = drawBand(params, band, indices, (rows) => Atomics.add(shared, word.rows, rows))
    throwIfStopped()
    for (const _ of drawing) throwIfStopped()
    return { beganAt, piece: compressRows(params.width, indices) }
  } catch (error) {
    return failureOf(error)
  }
}
