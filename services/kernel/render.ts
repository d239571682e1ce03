import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { FaafoError } from '../../events/errors.ts'
import type { FractalParams } from '../../events/fractal.ts'
import { openDrawing } from './drawing.ts'
import { PALETTE, paint } from './julia.ts'
import { encodePng } from './png.ts'

/** Most iterations between two bands: some 20 ms, so that an abort is obeyed at once. */
const BAND_STEPS = 20_000_000

/** Most pixels of a band, unless one row has more; bounds the memory of a render. */
const BAND_PIXELS = 64 * 1024

/** Rows [y0, y1), one palette index a byte. Empty (y0 = y1) where they are not finished yet. */
export type Band = { y0: number; y1: number; indices: Uint8Array }

/**
 * The picture from top to bottom. A band comes after about BAND_STEPS iterations, also within a row, then without
 * rows: whoever drives this may stop between any two. Where the bands are cut never changes a pixel.
 */
export function* renderBands(params: FractalParams): Generator<Band, void> {
  const { width, height } = params
  const maxRows = bandRows(params)
  const drawing = openDrawing(params)
  try {
    let left = BAND_STEPS
    for (let y0 = 0; y0 < height; y0 += maxRows) {
      const y1 = Math.min(y0 + maxRows, height)
      const indices = new Uint8Array((y1 - y0) * width)
      for (let y = y0; y < y1; y += drawing.tileRows) {
        drawing.begin(y, Math.min(y + drawing.tileRows, y1))
        for (;;) {
          left = drawing.run(left)
          if (left > 0) break
          yield { y0, y1: y0, indices: indices.subarray(0, 0) }
          left = BAND_STEPS
        }
        indices.set(drawing.indices(), (y - y0) * width)
      }
      yield { y0, y1, indices }
      left = BAND_STEPS
    }
  } finally {
    drawing.close()
  }
}

/** Most rows of a band. */
const bandRows = ({ width, height }: FractalParams): number =>
  Math.min(height, Math.max(1, Math.floor(BAND_PIXELS / width)))

export type RenderOptions = {
  /** Asked between bands; true aborts. For threads, where a shared flag says so while the loop is busy. */
  stop?: () => boolean
  /** Aborts too; the event loop gets a turn between bands, so that the signal can be given in the same thread. */
  signal?: AbortSignal
  /** Told after each band: whole rows rendered so far, of `total`. Never falls, ends at `total`. */
  onRows?: (done: number, total: number) => void
}

/** SHA-256 (hex) of the picture's RGB bytes, row-major, top row first. */
export type Rendered = { pixelChecksum: string }

/**
 * Yields the PNG file of a request piece by piece and returns its pixel checksum (the generator's return value). Memory
 * stays bounded whatever the size of the image. Throws `aborted`.
 */
export async function* renderPng(
  params: FractalParams,
  options: RenderOptions = {},
): AsyncGenerator<Uint8Array, Rendered> {
  const { stop, signal, onRows } = options
  const hash = createHash('sha256')

  async function* bands(): AsyncGenerator<Uint8Array, void> {
    const rgb = new Uint8Array(bandRows(params) * params.width * 3)
    throwIfAborted()
    for (const { y1, indices } of renderBands(params)) {
      if (signal) await setImmediate()
      throwIfAborted()
      hash.update(paint(indices, rgb))
      onRows?.(y1, params.height)
      if (indices.length > 0) yield indices
    }
  }

  function throwIfAborted(): void {
    if (!signal?.aborted && !stop?.()) return
    throw new FaafoError('aborted', 'cannot render the fractal: it was stopped', { cause: signal?.reason })
  }

  yield* encodePng({ width: params.width, height: params.height, palette: PALETTE }, bands())
  return { pixelChecksum: hash.digest('hex') }
}
