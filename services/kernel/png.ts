import { Buffer } from 'node:buffer'
import { constants, crc32, deflateRawSync } from 'node:zlib'
import { FaafoError } from '../../events/errors.ts'
import { adler32, joinAdler32 } from './adler32.ts'

/*
 * An indexed PNG: signature, IHDR, PLTE, IDAT …, IEND. Each chunk is
 *
 *   length of data (4 bytes, big-endian) | type (4 letters) | data | CRC-32 of type and data (4 bytes)
 *
 * and the data of all IDATs together are one zlib stream of rows, each a filter byte (0, none) and an index per pixel.
 */

/**
 * Run lengths and Huffman codes only. Measured over the golden pictures and one of 3333 × 3333, against level 1: 8 %
 * smaller and 1.7 times as fast; against level 6: 10 % larger and 4.7 times as fast. Only here are the bytes of Node's
 * zlib and Deno's the same.
 */
const DEFLATE = { level: 1, strategy: constants.Z_RLE, finishFlush: constants.Z_FULL_FLUSH }

/** 32 KiB window, quickest. */
const ZLIB_HEADER = Uint8Array.of(0x78, 0x01)
/** A block of nothing that says that it is the last one. */
const LAST_BLOCK = Uint8Array.of(0x03, 0x00)

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]

/** `palette`: 3 bytes a colour (red, green, blue), at most 256 colours. */
export type IndexedImage = { width: number; height: number; palette: Readonly<Uint8Array> }

/** Some rows, compressed by themselves; joined in their order they are the picture's zlib stream. */
export type Piece = {
  rows: number
  /** Raw DEFLATE that ends on a byte and refers to nothing before it. */
  deflated: Uint8Array
  /** Adler-32 of what was compressed. */
  adler: number
}

/**
 * Compresses whole rows, one palette index a byte. Pieces may be made in any order and in any thread.
 * Throws `render-failed` where they are not whole rows.
 */
export function compressRows(width: number, indices: Uint8Array): Piece {
  const rows = indices.length / width
  if (!Number.isInteger(rows)) {
    throw new FaafoError('render-failed', `cannot encode the image: got ${rows} rows, not whole ones`)
  }
  const lines = new Uint8Array(indices.length + rows) // each begins with a filter byte, 0
  for (let y = 0; y < rows; y++) lines.set(indices.subarray(y * width, (y + 1) * width), y * (width + 1) + 1)
  return { rows, deflated: deflateRawSync(lines, DEFLATE), adler: adler32(lines) }
}

/**
 * Joins pieces, top rows first, to the bytes of a PNG file. A piece is asked for when the one before has been read.
 * Throws `render-failed` where they are not `height` rows, and whatever `pieces` throws.
 */
export async function* encodePng(
  image: IndexedImage,
  pieces: Iterable<Piece> | AsyncIterable<Piece>,
): AsyncGenerator<Uint8Array, void> {
  const { width, height, palette } = image
  yield Uint8Array.of(...SIGNATURE, ...chunk('IHDR', header(image)), ...chunk('PLTE', palette))
  let rows = 0
  let adler = 1
  for await (const piece of pieces) {
    if (piece.rows === 0) continue
    yield chunk('IDAT', rows === 0 ? Buffer.concat([ZLIB_HEADER, piece.deflated]) : piece.deflated)
    rows += piece.rows
    adler = joinAdler32(adler, piece.adler, piece.rows * (width + 1))
    if (rows > height) break
  }
  if (rows !== height) {
    throw new FaafoError('render-failed', `cannot encode the image: got ${rows} rows instead of ${height}`)
  }
  const end = new Uint8Array(6)
  end.set(LAST_BLOCK)
  new DataView(end.buffer).setUint32(LAST_BLOCK.length, adler)
  yield Uint8Array.of(...chunk('IDAT', end), ...chunk('IEND', new Uint8Array(0)))
}

function header({ width, height }: IndexedImage): Uint8Array {
  const data = new Uint8Array(13)
  const view = new DataView(data.buffer)
  view.setUint32(0, width)
  view.setUint32(4, height)
  data[8] = 8 // bits an index
  data[9] = 3 // colour type: palette; compression, filter method and interlace stay 0
  return data
}

function chunk(type: string, data: Readonly<Uint8Array>): Uint8Array {
  const bytes = new Uint8Array(data.length + 12)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, data.length)
  for (let k = 0; k < 4; k++) bytes[4 + k] = type.charCodeAt(k)
  bytes.set(data, 8)
  view.setUint32(data.length + 8, crc32(bytes.subarray(4, data.length + 8)))
  return bytes
}
