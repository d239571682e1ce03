import type { FractalParams } from '../../events/fractal.ts'

/** What decides the pixels of a picture of this size, with all sorts of pixels in it. */
export const juliaRequest = (width: number, height: number, iterations: number): FractalParams => ({
  ...{ width, height, iterations },
  ...{ xa: -2, xb: 2, ya: -1.5, yb: 1.5, cx: -0.8, cy: 0.156 },
})
