import { Buffer } from 'node:buffer'
import { FaafoError } from '../../events/errors.ts'
import { explain, type FractalParams, fractalParamsSchema, invalidRequest } from '../../events/fractal.ts'
import { KERNEL_VERSION } from './julia.ts'
import { type Texts, textsOf } from './png.ts'

/*
 * What a picture says of itself, in PNG texts:
 *
 *   before the pixels   Software: faafo · Fractal: <uuid> · Request: <JSON of its parameters> · Kernel: <version>
 *   after them          Pixel-Checksum: <SHA-256 (hex) of its RGB bytes, row-major, top row first>
 */
const keyword = {
  software: 'Software',
  uuid: 'Fractal',
  request: 'Request',
  kernel: 'Kernel',
  pixelChecksum: 'Pixel-Checksum',
} as const

/** A picture to render, and the fractal that it is of, if it is of one. */
export type RenderJob = { uuid: string | null; params: FractalParams }

/** null: it says nothing of that. */
export type Description = RenderJob & { kernelVersion: string | null; pixelChecksum: string | null }

export const textsBefore = ({ uuid, params }: RenderJob): Texts => {
  const { width, height, iterations, xa, xb, ya, yb, cx, cy } = params
  return {
    [keyword.software]: 'faafo',
    ...(uuid !== null && { [keyword.uuid]: uuid }),
    [keyword.request]: JSON.stringify({ width, height, iterations, xa, xb, ya, yb, cx, cy }),
    [keyword.kernel]: KERNEL_VERSION,
  }
}

export const textsAfter = (pixelChecksum: string): Texts => ({ [keyword.pixelChecksum]: pixelChecksum })

/** The fractal that a picture says it is of, from no more than its first kilobytes; null where it does not say. */
export function fractalIn(head: Uint8Array): string | null {
  const text = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, 8_192)).toString('latin1')
  return new RegExp(`tEXt${keyword.uuid}\0([0-9a-f-]{36})`).exec(text)?.[1] ?? null
}

/**
 * What a PNG file says of itself, null where it is none of ours. Whether that is true is another question: the texts
 * have nothing to do with the pixels. Throws `image-damaged` where it is no PNG, or one that ends early or is damaged.
 */
export function describe(png: Uint8Array): Description | null {
  const texts = textsOf(png)
  const request = texts[keyword.request]
  if (texts[keyword.software] !== 'faafo' || request === undefined) return null
  let json: unknown
  try {
    json = JSON.parse(request)
  } catch (error) {
    throw new FaafoError('image-damaged', 'cannot read the image: its request is not JSON', { cause: error })
  }
  const params = fractalParamsSchema.safeParse(json, { error: explain })
  if (!params.success) {
    const { message, details } = invalidRequest('read the image: its request is wrong', params.error)
    throw new FaafoError('image-damaged', message, { cause: params.error, details })
  }
  return {
    uuid: texts[keyword.uuid] ?? null,
    params: params.data,
    kernelVersion: texts[keyword.kernel] ?? null,
    pixelChecksum: texts[keyword.pixelChecksum] ?? null,
  }
}
