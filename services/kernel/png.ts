import { Buffer } from 'node:buffer'
import { pipeline } from 'node:stream/promises'
import { constants, crc32, createDeflate, deflateSync } from 'node:zlib'
import { FaafoError } from '../../events/errors.ts'

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
const DEFLATE = { level: 1, strategy: constants.Z_RLE }

/** Up to here a picture is compressed in one call: 0.02 ms for 64 × 64, where a stream takes 0.35 ms. */
const SMALL_PIXELS = 64 * 1024

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]

/** `palette`: 3 bytes a colour (red, green, blue), at most 256 colours. */
export type IndexedImage = { width: number; height: number; palette: Readonly<Uint8Array> }

type Bands = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/**
 * Encodes bands of whole rows, top row first, one palette index a byte, as the bytes of a PNG file. A band is asked
 * for when the one before has been compressed and read, so that no more than a few are held. Every piece yielded owns
 * its buffer. Throws `render-failed` where the bands are not `height` rows, and whatever `bands` throws.
 */
export async function* encodePng(image: IndexedImage, bands: Bands): AsyncGenerator<Uint8Array, void> {
  yield Uint8Array.of(...SIGNATURE, ...chunk('IHDR', header(image)), ...chunk('PLTE', image.palette))
  for await (const data of compress(image, scanlines(image, bands))) yield chunk('IDAT', data)
  yield chunk('IEND', new Uint8Array(0))
}

async function* compress(image: IndexedImage, lines: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  if (image.width * image.height <= SMALL_PIXELS) {
    const all: Uint8Array[] = []
    for await (const some of lines) all.push(some)
    yield deflateSync(Buffer.concat(all), DEFLATE)
    return
  }
  const deflate = createDeflate(DEFLATE)
  const fed = pipeline(lines, deflate)
  // An error of the lines destroys the stream, so the loop throws it too, and first.
  fed.catch(() => {})
  for await (const data of deflate) yield data
  await fed
}

async function* scanlines({ width, height }: IndexedImage, bands: Bands): AsyncGenerator<Uint8Array, void> {
  let rows = 0
  for await (const band of bands) {
    const bandRows = band.length / width
    rows += bandRows
    if (!Number.isInteger(bandRows) || rows > height) break
    const lines = new Uint8Array(bandRows * (width + 1))
    for (let y = 0; y < bandRows; y++) lines.set(band.subarray(y * width, (y + 1) * width), y * (width + 1) + 1)
    if (bandRows > 0) yield lines
  }
  if (rows !== height) {
    throw new FaafoError('render-failed', `cannot encode the image: got ${rows} rows instead of ${height}`)
  }
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
