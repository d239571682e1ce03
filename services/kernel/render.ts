import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { FaafoError } from '../../events/errors.ts'
import type { FractalParams } from '../../events/fractal.ts'
import { escapePixels, PALETTE, paint } from './julia.ts'
import { encodePng } from './png.ts'

/** Most iterations between two bands: some 30 ms, so that an abort is obeyed at once. */
const BAND_STEPS = 10_000_000

/** Most pixels of a band, unless one row has more; bounds the memory of a render. */
const BAND_PIXELS = 64 * 1024

/** Rows [y0, y1), one palette index a byte. Empty (y0 = y1) where a long row is not finished yet. */
export type Band = { y0: number; y1: number; indices: Uint8Array }

/**
 * The picture from top to bottom. A band comes after at most BAND_STEPS iterations (and the pixel in hand), also within
 * a row, then without rows: whoever drives this may stop between any two. Where the bands are cut never changes a pixel.
 */
export function* renderBands(params: FractalParams): Generator<Band, void> {
  const { width, height } = params
  const maxRows = bandRows(params)
  let unfinished = new Uint8Array(0)
  for (let y = 0; y < height; ) {
    const indices = new Uint8Array(Math.min(maxRows, height - y) * width)
    indices.set(unfinished)
    const from = unfinished.length
    const filled = from + escapePixels(params, y * width + from, indices.subarray(from), BAND_STEPS)
    const rows = Math.floor(filled / width)
    unfinished = indices.slice(rows * width, filled)
    yield { y0: y, y1: y + rows, indices: indices.subarray(0, rows * width) }
    y += rows
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
