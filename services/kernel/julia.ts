import type { FractalParams } from '../../events/fractal.ts'

/** Names this kernel and its colours in TaskCompleted. Another name means that pixels may differ. */
export const KERNEL_VERSION = 'julia-1'

/** The 32 colours, 3 bytes each (red, green, blue): those of the escape index i repeat with period 32. */
export const PALETTE: Readonly<Uint8Array> = Uint8Array.from({ length: 32 * 3 }, (_, k) => {
  const i = Math.floor(k / 3)
  return [(i % 8) * 32, (i % 16) * 16, (i % 32) * 8][k % 3] ?? 0
})

/**
 * Palette indices (escape index modulo 32) of rows [y0, y1): one byte per pixel, row-major, top row first.
 * Source: the original application, bit for bit; `test/golden/julia.json` holds its pictures.
 */
export function escapeRows(params: FractalParams, y0: number, y1: number): Uint8Array {
  const indices = new Uint8Array((y1 - y0) * params.width)
  escapePixels(params, y0 * params.width, indices, Number.POSITIVE_INFINITY)
  return indices
}

/**
 * Fills `out` with the palette indices of the pixels from number `first` on (row-major, the top left one is 0).
 * Returns how many it filled: all of `out`, or fewer, but at least one, once `maxSteps` iterations are spent.
 */
export function escapePixels(params: FractalParams, first: number, out: Uint8Array, maxSteps: number): number {
  const { width, height, iterations, xa, xb, ya, yb, cx, cy } = params
  let x = first % width
  let y = Math.floor(first / width)
  let steps = 0
  for (let k = 0; k < out.length; k++) {
    // The order of these operations decides the last bits, and so the picture.
    let zx = (x * (xb - xa)) / (width - 1) + xa
    let zy = (y * (yb - ya)) / (height - 1) + ya
    let i = 0
    for (; i < iterations; i++) {
      const xx = zx * zx
      const yy = zy * zy
      if (xx + yy > 4) break
      const xy = zx * zy
      zx = xx - yy + cx
      zy = xy + xy + cy
    }
    out[k] = (i === iterations ? i - 1 : i) & 31
    steps += i + 1
    if (steps >= maxSteps) return k + 1
    if (++x === width) {
      x = 0
      y++
    }
  }
  return out.length
}

/** Writes the colours of `indices` to `rgb` (at least 3 bytes for each) and returns the part written. */
export function paint(indices: Uint8Array, rgb: Uint8Array): Uint8Array {
  let k = 0
  for (const index of indices) {
    rgb[k++] = PALETTE[index * 3] ?? 0
    rgb[k++] = PALETTE[index * 3 + 1] ?? 0
    rgb[k++] = PALETTE[index * 3 + 2] ?? 0
  }
  return rgb.subarray(0, k)
}
