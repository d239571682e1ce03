import { Buffer } from 'node:buffer'
import { FaafoError } from '../../events/errors.ts'
import { type DecodedImage, decodePng } from '../kernel/decode.ts'
import { describe } from '../kernel/describe.ts'
import { KERNEL_VERSION } from '../kernel/julia.ts'
import { sizeOf } from '../kernel/png.ts'
import { naming, readPicture, requestIn } from './picture-file.ts'
import { draw } from './render.ts'
import type { Session } from './session.ts'
import { dimensions } from './table.ts'

/**
 * Draws again what a picture says that it shows, and prints that it is the same. Throws `image-damaged` where it is not,
 * `storage-unavailable` where there is no such file.
 */
export async function reproduce(session: Session, file: string): Promise<void> {
  const picture = await readPicture(file)
  const { uuid, kernelVersion, pixelChecksum } = picture.description
  const params = requestIn(picture)
  const differing = (reason: string) => new FaafoError('image-damaged', `cannot reproduce ${file}: ${reason}`)
  const size = sizeOf(picture.png)
  if (size.width !== params.width || size.height !== params.height) {
    throw differing(`it is ${dimensions(size)}, its request is for ${dimensions(params)}`)
  }
  const pieces: Uint8Array[] = []
  for await (const piece of draw(session, { uuid, params })) pieces.push(piece)
  const drawn = Buffer.concat(pieces)
  const drawnChecksum = describe(drawn)?.pixelChecksum
  const otherKernel =
    kernelVersion === KERNEL_VERSION
      ? ''
      : `; it names ${kernelVersion ? `the kernel ${quoted(kernelVersion)}` : 'no kernel'}, this is '${KERNEL_VERSION}'`
  // The same bytes have the same pixels and texts.
  if (!drawn.equals(picture.png)) {
    const found = naming(file, () => decodePng(picture.png))
    const difference = differenceOf(found, decodePng(drawn))
    if (difference) throw differing(difference + otherKernel)
    if (pixelChecksum !== drawnChecksum) {
      throw differing(
        `all pixels are those of its request, but it says ${pixelChecksum ? `that their checksum is ${quoted(pixelChecksum)}; it` : 'no checksum of them, which'} is ${drawnChecksum}${otherKernel}`,
      )
    }
  }
  const of = uuid === null ? '' : ` of fractal ${quoted(uuid)}`
  await session.print(`reproduced: ${file}${of}, ${dimensions(size)}, pixel checksum ${drawnChecksum}${otherKernel}\n`)
}

/** How two pictures of the same size differ, as a sentence; null where they do not. */
function differenceOf({ width, height, rgb }: DecodedImage, expected: DecodedImage): string | null {
  let count = 0
  let first = 0
  for (let k = 0; k < rgb.length; k += 3) {
    if (colourAt(rgb, k) === colourAt(expected.rgb, k)) continue
    if (count++ === 0) first = k
  }
  if (count === 0) return null
  const [x, y] = [(first / 3) % width, Math.floor(first / 3 / width)]
  const colours = `is ${colourText(colourAt(rgb, first))}, expected ${colourText(colourAt(expected.rgb, first))}`
  return `${count} of ${width * height} pixels differ${count === 1 ? 's' : ''}; the first, x ${x}, y ${y}, ${colours}`
}

const colourAt = (rgb: Uint8Array, k: number): number =>
  ((rgb[k] ?? 0) << 16) | ((rgb[k + 1] ?? 0) << 8) | (rgb[k + 2] ?? 0)

const colourText = (colour: number) => `#${colour.toString(16).padStart(6, '0')}`

/** A text of the file, which anyone may have written, without what a terminal would obey. */
const quoted = (text: string) => `'${text.replace(/\p{Cc}/gu, ' ')}'`
