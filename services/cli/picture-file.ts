import { Buffer } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { type FractalParams, LIMITS, parseFractalRequest } from '../../events/fractal.ts'
import { type Description, describe } from '../kernel/describe.ts'
import { reasonOf } from './output.ts'

/** A picture of ours; that what it says of itself is true is not known yet. */
export type PictureFile = { file: string; png: Buffer; description: Description }

/** More than a picture of the largest size can have: a byte a pixel, and a tenth. */
const MOST_BYTES = LIMITS.maxSide ** 2 * 1.1

/** Throws `storage-unavailable` where there is no such file, `image-damaged` where it is no picture of ours. */
export async function readPicture(file: string): Promise<PictureFile> {
  const png = await bytesOf(file).catch((error) => {
    if (isFaafoError(error)) throw error
    throw new FaafoError('storage-unavailable', `cannot read ${file}: ${unreadable[error.code] ?? reasonOf(error)}`, {
      cause: error,
    })
  })
  const description = naming(file, () => describe(png))
  if (description) return { file, png, description }
  throw new FaafoError('image-damaged', `cannot read ${file}: it says nothing of itself, unlike the pictures of faafo`)
}

/** All bytes of a file, or of a pipe; of a device that never ends no more than MOST_BYTES are read. */
async function bytesOf(file: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of createReadStream(file)) {
    chunks.push(chunk)
    size += chunk.length
    if (size > MOST_BYTES) {
      throw new FaafoError('image-damaged', `cannot read ${file}: it is larger than any picture of faafo`)
    }
  }
  return Buffer.concat(chunks)
}

const unreadable: Readonly<Record<string, string>> = { ENOENT: 'there is no such file', EISDIR: 'it is a folder' }

/**
 * The request that a picture names, once it is one that may be made, whatever it costs: a budget is for those
 * who share an installation. Throws `image-damaged`.
 */
export function requestIn({ file, description }: PictureFile): FractalParams {
  const { params } = description
  try {
    parseFractalRequest(params)
    return params
  } catch (error) {
    if (!isFaafoError(error, 'invalid-request')) throw error
    const reason = error.message.replace(/^cannot request a fractal: /, '')
    throw new FaafoError('image-damaged', `cannot read ${file}: its request is none that may be made: ${reason}`, {
      cause: error,
    })
  }
}

/** What `read` gives; its error about "the image" names the file instead. */
export function naming<T>(file: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!isFaafoError(error)) throw error
    throw new FaafoError(
      error.code,
      error.message.replace('the image', () => file),
      {
        cause: error,
        details: error.details,
      },
    )
  }
}
