import type { FractalParams } from '../../events/fractal.ts'
import type { Drawing } from './drawing.ts'

/** Names this kernel and its colours in TaskCompleted. Another name means that pixels may differ. */
export const KERNEL_VERSION = 'julia-1'

/** The 32 colours, 3 bytes each (red, green, blue): those of the escape index i repeat with period 32. */
export const PALETTE: Readonly<Uint8Array> = Uint8Array.from({ length: 32 * 3 }, (_, k) => {
  const i = Math.floor(k / 3)
  return [(i % 8) * 32, (i % 16) * 16, (i % 32) * 8][k % 3] ?? 0
})

/** Most pixels of a tile. */
const TILE_PIXELS = 16 * 1024

/**
 * Draws one pixel after the other: what every other way to draw is held to.
 * Source: the original application, bit for bit; `test/golden/julia.json` holds its pictures.
 */
export function plainDrawing(params: FractalParams): Drawing {
  const { width, height, iterations, xa, xb, ya, yb, cx, cy } = params
  let indices = new Uint8Array(0)
  let counts = new Uint32Array(0)
  let at = 0
  let x = 0
  let y = 0
  return {
    tileRows: Math.max(1, Math.floor(TILE_PIXELS / width)),
    begin(y0, y1) {
      indices = new Uint8Array((y1 - y0) * width)
      counts = new Uint32Array(indices.length)
      at = 0
      x = 0
      y = y0
    },
    run(most) {
      let left = most
      while (at < indices.length) {
        if (left <= 0) return left
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
        counts[at] = i
        indices[at++] = (i === iterations ? i - 1 : i) & 31
        left -= i + 1
        if (++x === width) {
          x = 0
          y++
        }
      }
      return Math.max(left, 1)
    },
    indices: () => indices,
    counts: () => counts,
    close: () => {},
  }
}
