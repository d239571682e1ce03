/*
 * What a picture is made of, and how many of them: `faafo create` draws at random what it is not told, between
 * --min-X and --max-X. The original program's bounds; those of real numbers may stand in either order.
 */
export const parameters = {
  height: { what: 'pixels', min: 256, max: 1024, whole: true },
  width: { what: 'pixels', min: 256, max: 1024, whole: true },
  iterations: { what: 'iterations per pixel', min: 128, max: 512, whole: true },
  xa: { what: 'real part at the left edge', min: -1, max: -4, whole: false },
  xb: { what: 'real part at the right edge', min: 1, max: 4, whole: false },
  ya: { what: 'imaginary part at the top edge', min: -0.5, max: -3, whole: false },
  yb: { what: 'imaginary part at the bottom edge', min: 0.5, max: 3, whole: false },
  tasks: { what: 'how many fractals', min: 1, max: 10, whole: true },
} as const

export type Parameter = keyof typeof parameters
