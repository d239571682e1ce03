import { channel } from 'node:diagnostics_channel'
import { costOf } from '../../events/cost.ts'
import type { FractalParams } from '../../events/fractal.ts'
import type { RenderJob } from '../kernel/description.ts'
import { bandsOf } from '../kernel/render.ts'

/** A picture of at most so many steps (some 20 ms) and pixels is sent whole, several in one call to a thread. */
export const SMALL = { steps: 2e7, pixels: 2 ** 18 }

export const isSmall = (params: FractalParams): boolean =>
  costOf(params) <= SMALL.steps && params.width * params.height <= SMALL.pixels

/** How many of so many threads a picture keeps busy: one where it is small, else one for each of its bands. */
export const threadsOf = (params: FractalParams, threads: number): number =>
  isSmall(params) ? 1 : Math.min(threads, bandsOf(params).length)

/** A picture that is being rendered, waits for its turn, or is ready. */
export type Rendering = {
  /** The PNG, to be read once. Ends with the render's error: `render-failed`, `render-crashed`, `aborted` … */
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>
  /** SHA-256 (hex) of the RGB bytes. To be asked once `chunks` were read to the end. */
  pixelChecksum(): string
  /** Whole rows rendered so far. */
  rows(): number
  /** When it began, as `performance.now()`. To be asked once `chunks` were read to the end. */
  startedAt(): number
  /** Ends it, where it has not ended. To be called in any case, since nobody may have read the chunks. */
  stop(): void
}

/** `signal` stops the render at once. */
export type Renderer = (job: RenderJob, signal: AbortSignal) => Promise<Rendering>

const renders = channel('faafo:render')

/**
 * Tells whoever subscribed to the diagnostics channel `faafo:render`, in the thread or process that renders, that this
 * job begins.
 */
export const announceRender = (job: RenderJob): void => renders.publish(job)
