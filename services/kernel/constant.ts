import type { FractalParams } from '../../events/fractal.ts'

/** Bounds the search to some 400,000 iterations: about 2 ms where every candidate lies inside the Mandelbrot set. */
const MAX_CANDIDATES = 4096

/** Wanted are 10 < i < 100. */
const LEAST_INDEX = 11
const GREATEST_INDEX = 99

/**
 * Chooses the Julia constant c by the original's rule: drawn uniformly in the asked window until the index i at which
 * z = c escapes under z² + c (|z| > 2; iterations − 1 if never) satisfies 10 < i < 100.
 *
 * The original never returns where no such c exists. Here the search ends after a bounded number of candidates, or at
 * once where the asked iterations rule out a better one, with the best: the one whose i is nearest to the wanted
 * range, the first of equals. All i above the range count as equally near (a filled picture beats an empty one).
 *
 * `random` yields numbers in [0, 1). The bounds must be finite; reversed ones are fine. c lies in the window, always.
 */
export function chooseConstant(
  window: Pick<FractalParams, 'iterations' | 'xa' | 'xb' | 'ya' | 'yb'>,
  random: () => number,
): { cx: number; cy: number } {
  const limit = Math.min(window.iterations, GREATEST_INDEX + 2)
  const leastMiss = Math.max(0, LEAST_INDEX - (limit - 1))
  let best = { cx: window.xa, cy: window.ya }
  let bestMiss = Number.POSITIVE_INFINITY
  for (let n = 0; n < MAX_CANDIDATES && bestMiss > leastMiss; n++) {
    const cx = between(window.xa, window.xb, random())
    const cy = between(window.ya, window.yb, random())
    const index = escapeIndex(cx, cy, limit)
    const miss = Math.max(0, LEAST_INDEX - index, index - GREATEST_INDEX)
    if (miss < bestMiss) {
      best = { cx, cy }
      bestMiss = miss
    }
  }
  return best
}

/** Weighs the ends, because their difference can overflow; rounding must not lead out of the window. */
function between(a: number, b: number, share: number): number {
  const value = a * (1 - share) + b * share
  return Math.min(Math.max(value, Math.min(a, b)), Math.max(a, b))
}

function escapeIndex(cx: number, cy: number, limit: number): number {
  let zx = cx
  let zy = cy
  for (let i = 0; i < limit; i++) {
    const xx = zx * zx
    const yy = zy * zy
    if (xx + yy > 4) return i
    zy = 2 * zx * zy + cy
    zx = xx - yy + cx
  }
  return limit - 1
}
