import { Buffer } from 'node:buffer'
import type { MessagePort } from 'node:worker_threads'
import type { FractalParams } from '../../events/fractal.ts'
import type { RenderJob } from '../kernel/description.ts'
import { compressRows, type Piece } from '../kernel/png.ts'
import { abortedError, type Band, bandsOf, drawBand, MOST_BAND_PIXELS, pixelsOf, renderPng } from '../kernel/render.ts'
import { paint } from '../kernel/simd-drawing.ts'
import { type Failure, failureOf } from './failure.ts'
import { announceRender } from './rendering.ts'
import { addRows, isStopped, type Ring, roomOf, takeNext } from './ring.ts'

/*
 * What runs in a render thread. A render's error is an answer here: a call that is rejected means that the thread
 * itself is gone.
 */

/** `ms`: how long it took. */
export type SmallPicture = { png: Uint8Array; pixelChecksum: string; ms: number }
/** `beganAt`: Unix milliseconds. */
export type DrawnBand = { band: number; piece: Piece; beganAt: number }

/** Each band is told to `port` as a DrawnBand once it is drawn. */
export type BandsJob = RenderJob & { ring: Ring; port: MessagePort }

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

/** After so long a thread that draws bands looks whether there is something else to do. */
const TURN_MS = 50

/** Draws bands of a larger picture, one after the other, until there is none to begin or its turn is over. */
export function renderBands({ uuid, params, ring, port }: BandsJob): Failure | null {
  const bands = bandsOf(params)
  const startedAt = performance.now()
  try {
    while (performance.now() - startedAt < TURN_MS) {
      const k = takeNext(ring)
      const band = k === null ? undefined : bands[k]
      if (k === null || !band) break
      if (k === 0) announceRender({ uuid, params })
      const beganAt = performance.timeOrigin + performance.now()
      port.postMessage({ band: k, piece: renderBand(params, band, roomOf(ring, k, pixelsOf(params, band))), beganAt })
    }
    return null
  } catch (error) {
    return failureOf(error)
  } finally {
    port.close()
  }

  function renderBand(params: FractalParams, band: Band, colours: Uint8Array): Piece {
    const indices = anyIndices.subarray(0, pixelsOf(params, band))
    const drawing = drawBand(params, band, indices, (rows) => addRows(ring, rows))
    throwIfStopped()
    for (const _ of drawing) throwIfStopped()
    let at = 0
    for (const part of paint(indices)) {
      colours.set(part, at)
      at += part.length
    }
    return compressRows(params.width, indices)
  }

  function throwIfStopped(): void {
    if (isStopped(ring)) throw abortedError()
  }
}

/** Room for the indices of any band; a thread draws one at a time. */
const anyIndices = new Uint8Array(MOST_BAND_PIXELS)
