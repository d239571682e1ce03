import { Buffer } from 'node:buffer'
import type { FractalParams } from '../../events/fractal.ts'
import { KERNEL_VERSION } from './julia.ts'
import type { Texts } from './png.ts'

/*
 * What a picture says of itself, in PNG texts:
 *
 *   before the pixels   Software: faafo · Fractal: <uuid> · Request: <JSON of its parameters> · Kernel: <version>
 *   after them          Pixel-Checksum: <SHA-256 (hex) of its RGB bytes, row-major, top row first>
 */
export const keyword = {
  software: 'Software',
  uuid: 'Fractal',
  request: 'Request',
  kernel: 'Kernel',
  pixelChecksum: 'Pixel-Checksum',
} as const

/** A picture to render, and the fractal that it is of, if it is of one. */
export type RenderJob = { uuid: string | null; params: FractalParams }

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
