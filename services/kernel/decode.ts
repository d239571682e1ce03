import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { PNG } from 'pngjs'
import { FaafoError, messageOf } from '../../events/errors.ts'

/** `rgb`: 3 bytes a pixel, row-major, top row first. */
export type DecodedImage = { width: number; height: number; rgb: Uint8Array }

/**
 * The pixels of an opaque PNG. Needs about 6 bytes of memory a pixel. Throws `image-damaged` where the bytes are not a
 * whole PNG or a pixel is transparent, which no picture of ours is.
 */
export function decodePng(bytes: Uint8Array): DecodedImage {
  let png: PNG
  try {
    png = PNG.sync.read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  } catch (error) {
    throw new FaafoError('image-damaged', `cannot decode the image: ${messageOf(error)}`, { cause: error })
  }
  const { width, height, data } = png
  // In place, since the colours never overtake the pixel that is read.
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    if (data[from + 3] !== 255) throw new FaafoError('image-damaged', 'cannot decode the image: it is not opaque')
    data[to] = data[from] ?? 0
    data[to + 1] = data[from + 1] ?? 0
    data[to + 2] = data[from + 2] ?? 0
  }
  return { width, height, rgb: data.subarray(0, width * height * 3) }
}

/** SHA-256 (hex) of a PNG's decoded RGB bytes, to compare with `pixelChecksum`. Throws `image-damaged`. */
export const pixelChecksumOf = (png: Uint8Array): string =>
  createHash('sha256').update(decodePng(png).rgb).digest('hex')
