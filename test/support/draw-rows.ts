import { Buffer } from 'node:buffer'
import type { FractalParams } from '../../events/fractal.ts'
import type { Drawing } from '../../services/kernel/drawing.ts'
import { plainDrawing } from '../../services/kernel/julia.ts'
import { paint } from '../../services/kernel/simd-drawing.ts'

export type DrawOptions = {
  /** `plainDrawing` where nothing is said. */
  open?: (params: FractalParams) => Drawing
  /** Iterations at a time. */
  steps?: number
}

/** Palette indices of rows [y0, y1). */
export function drawRows(
  params: FractalParams,
  y0: number,
  y1: number,
  { open = plainDrawing, steps = Number.POSITIVE_INFINITY }: DrawOptions = {},
): Uint8Array {
  const drawing = open(params)
  const rows = new Uint8Array((y1 - y0) * params.width)
  try {
    for (let y = y0; y < y1; y += drawing.tileRows) {
      drawing.begin(y, Math.min(y + drawing.tileRows, y1))
      while (drawing.run(steps) <= 0);
      rows.set(drawing.indices(), (y - y0) * params.width)
    }
  } finally {
    drawing.close()
  }
  return rows
}

/** The colours of palette indices, 3 bytes each. */
export const rgbOf = (indices: Uint8Array): Buffer => Buffer.concat(Array.from(paint(indices), (part) => part.slice()))
