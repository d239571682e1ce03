import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { FaafoError } from '../../events/errors.ts'
import type { FractalParams } from '../../events/fractal.ts'
import { type RenderJob, textsAfter, textsBefore } from './description.ts'
import { openDrawing } from './drawing.ts'
import { PALETTE } from './julia.ts'
import { compressRows, encodePng, type Piece } from './png.ts'
import { paint } from './simd-drawing.ts'

/** Most iterations in one go: some 20 ms, so that an abort is obeyed at once. */
const STEPS_AT_ONCE = 20_000_000

/** Most pixels of a band of any picture; room for whole rows, whatever their length. Larger ones cost memory. */
export const MOST_BAND_PIXELS = 256 * 1024

/** Fewest, where the picture is not smaller: less costs more than the better balance of the threads is worth. */
const LEAST_BAND_PIXELS = 64 * 1024

/** Into so many bands a picture is cut, within these bounds. */
const BANDS = 64

/** Most iterations that a band may take, about a second, unless one row does; so threads end at about the same time. */
const BAND_STEPS = 1e9

/** Rows [y0, y1). */
export type Band = { y0: number; y1: number }

/** The bands of a picture, from top to bottom. They depend on nothing else, so that its file does not either. */
export function bandsOf({ width, height, iterations }: FractalParams): Band[] {
  const pixels = Math.min(Math.max((width * height) / BANDS, LEAST_BAND_PIXELS), MOST_BAND_PIXELS)
  const rows = Math.max(1, Math.floor(Math.min(pixels, BAND_STEPS / iterations) / width))
  return Array.from({ length: Math.ceil(height / rows) }, (_, k) => ({
    y0: k * rows,
    y1: Math.min((k + 1) * rows, height),
  }))
}

/** How many pixels a band of the picture has. */
export const pixelsOf = ({ width }: FractalParams, { y0, y1 }: Band): number => (y1 - y0) * width

/**
 * Draws a band into `indices`, a byte for each of its pixels: their palette indices. Yields after every STEPS_AT_ONCE
 * iterations or so, also within a row. `onRows` is told of rows as they are finished.
 */
export function* drawBand(
  params: FractalParams,
  { y0, y1 }: Band,
  indices: Uint8Array,
  onRows: (rows: number) => void = () => {},
): Generator<void, void> {
  const drawing = openDrawing(params)
  try {
    let left = STEPS_AT_ONCE
    for (let y = y0; y < y1; y += drawing.tileRows) {
      const end = Math.min(y + drawing.tileRows, y1)
      drawing.begin(y, end)
      for (;;) {
        left = drawing.run(left)
        if (left > 0) break
        yield
        left = STEPS_AT_ONCE
      }
      indices.set(drawing.indices(), (y - y0) * params.width)
      onRows(end - y)
    }
  } finally {
    drawing.close()
  }
}

/** SHA-256 (hex) of the picture's RGB bytes, row-major, top row first. */
export type Rendered = { pixelChecksum: string }

/**
 * A band that was drawn and compressed, wherever that was. `colours`: its RGB bytes, in parts that are good until the
 * next part or band is asked for.
 */
export type RenderedBand = { colours: Iterable<Uint8Array>; piece: Piece }

/**
 * Yields the PNG file of a request piece by piece, from its bands in their order, and returns its pixel checksum. A
 * band is asked for when what came of the one before has been read.
 */
export async function* assemblePng(
  job: RenderJob,
  bands: AsyncIterable<RenderedBand>,
): AsyncGenerator<Uint8Array, Rendered> {
  const { width, height } = job.params
  const hash = createHash('sha256')
  async function* pieces(): AsyncGenerator<Piece, void> {
    for await (const { colours, piece } of bands) {
      for (const part of colours) hash.update(part)
      yield piece
    }
  }
  let pixelChecksum = ''
  yield* encodePng({ width, height, palette: PALETTE, texts: textsBefore(job) }, pieces(), () => {
    pixelChecksum = hash.digest('hex')
    return textsAfter(pixelChecksum)
  })
  return { pixelChecksum }
}

export type RenderOptions = {
  /** Aborts. The event loop gets a turn every STEPS_AT_ONCE iterations, so that it can be given in the same thread. */
  signal?: AbortSignal
  /** Told whole rows rendered so far, of `total`. Never falls, ends at `total`. */
  onRows?: (done: number, total: number) => void
}

/**
 * Yields the PNG file of a request piece by piece and returns its pixel checksum, all in this thread. Memory stays
 * bounded whatever the size of the image. Throws `aborted`.
 */
export function renderPng(job: RenderJob, options: RenderOptions = {}): AsyncGenerator<Uint8Array, Rendered> {
  const { params } = job
  const { signal, onRows } = options

  async function* bands(): AsyncGenerator<RenderedBand, void> {
    const room = new Uint8Array(Math.min(params.width * params.height, MOST_BAND_PIXELS))
    let done = 0
    throwIfAborted()
    for (const band of bandsOf(params)) {
      const indices = room.subarray(0, pixelsOf(params, band))
      const drawing = drawBand(params, band, indices, (rows) => {
        done += rows
        onRows?.(done, params.height)
      })
      for (const _ of drawing) await turn()
      await turn()
      yield { colours: paint(indices), piece: compressRows(params.width, indices) }
    }
  }

  async function turn(): Promise<void> {
    if (signal) await setImmediate()
    throwIfAborted()
  }

  function throwIfAborted(): void {
    if (signal?.aborted) throw abortedError(signal.reason)
  }

  return assemblePng(job, bands())
}

export const abortedError = (reason?: unknown) =>
  new FaafoError('aborted', 'cannot render the fractal: it was stopped', { cause: reason })
