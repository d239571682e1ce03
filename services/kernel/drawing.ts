import type { FractalParams } from '../../events/fractal.ts'
import { plainDrawing } from './julia.ts'
import { isExactInSimd, simdDrawing } from './simd-drawing.ts'

/**
 * A picture being drawn, one tile of whole rows at a time, as many iterations at a time as its user likes. What draws
 * it knows nothing of threads, files or aborts, and they know nothing of it: a further family of pictures is one more
 * of these.
 */
export type Drawing = {
  /** Most rows of a tile, at least 1. */
  tileRows: number
  /** Begins the tile of rows [y0, y1). */
  begin(y0: number, y1: number): void
  /**
   * Goes on with the tile for about so many iterations, and returns how many of them are left: more than 0 once the
   * tile is done.
   */
  run(iterations: number): number
  /** The finished tile: one palette index a byte, row-major. To be used before the next `begin` or `close`. */
  indices(): Uint8Array
  /** The finished tile's escape indices, row-major; `iterations` or more where a pixel did not escape. As short-lived. */
  counts(): Uint32Array
  /** Gives back what it holds. */
  close(): void
}

/** The quickest way to draw these pixels exactly. */
export const openDrawing = (params: FractalParams): Drawing =>
  isExactInSimd(params) ? simdDrawing(params) : plainDrawing(params)
