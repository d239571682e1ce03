import type { FractalParams } from './fractal.ts'

/** Pixels × iterations: the most steps of the formula's loop that a request can cost. */
export const costOf = (params: Pick<FractalParams, 'width' | 'height' | 'iterations'>): number =>
  params.width * params.height * params.iterations
