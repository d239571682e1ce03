import { costOf } from '../../events/cost.ts'
import type { FractalParams } from '../../events/fractal.ts'
import { openDrawing } from './drawing.ts'

/** Points a side of the coarsest sample, which is always drawn, and of the finest. Powers of two. */
const LEAST_SIDE = 4
const MOST_SIDE = 64

/**
 * Most iterations of the kernel, some 20 ms, or 130 where it is the plain one; the group of pixels in hand is finished
 * all the same.
 */
const MOST_STEPS = 20_000_000

/**
 * The iterations that the formula's loop is expected to take for the whole picture: at least 1 a pixel, and never more
 * than `costOf`. An orbit that never escapes counts with all of its iterations, also where the kernel finds early that
 * it repeats: the kernel's own work may be less.
 *
 * Scaled up from a grid of points over the picture: 64 × 64, or fewer where those would take more than MOST_STEPS, but
 * no fewer than 4 × 4. A picture that is no larger than its grid is counted exactly. The same picture always has the
 * same estimate.
 */
export function estimateIterations(params: FractalParams, open = openDrawing): number {
  const { width, height, iterations } = params
  let side = MOST_SIDE
  while (side > LEAST_SIDE && side * side * iterations > MOST_STEPS / 2) side /= 2
  let perPixel = iterations
  for (let left = MOST_STEPS; ; side *= 2) {
    const sample = sampleOf(params, side)
    const drawing = open(sample)
    try {
      drawing.begin(0, sample.height)
      const before = left
      left = drawing.run(left)
      if (left <= 0) break
      perPixel = meanOf(drawing.counts(), iterations)
      const isFinest = side === MOST_SIDE || (side >= width && side >= height)
      if (isFinest || 4 * (before - left) > left) break
    } finally {
      drawing.close()
    }
  }
  return Math.min(Math.round(perPixel * width * height), costOf(params))
}

/** The picture with `side` pixels a side, or as many as it has. One tile. */
function sampleOf(params: FractalParams, side: number): FractalParams {
  const [width, xa, xb] = centres(params.width, params.xa, params.xb, side)
  const [height, ya, yb] = centres(params.height, params.ya, params.yb, side)
  return { ...params, width, height, xa, xb, ya, yb }
}

/** How many equal parts so many pixels from `a` to `b` make, `most` if they can, and the centres of the outer two. */
function centres(pixels: number, a: number, b: number, most: number): [parts: number, first: number, last: number] {
  const parts = Math.min(pixels, most)
  const share = (pixels / parts - 1) / 2 / (pixels - 1)
  return [parts, a * (1 - share) + b * share, b * (1 - share) + a * share]
}

/** Iterations of the formula's loop: an escape is found in the iteration after those that it counts. */
function meanOf(counts: Uint32Array, iterations: number): number {
  let sum = 0
  for (const count of counts) sum += Math.min(count + 1, iterations)
  return sum / counts.length
}
