import { FaafoError } from '../../events/errors.ts'
import { explain, fractalParamsSchema, invalidRequest } from '../../events/fractal.ts'
import { keyword, type RenderJob } from './description.ts'
import { textsOf } from './png.ts'

/** null: it says nothing of that. */
export type Description = RenderJob & { kernelVersion: string | null; pixelChecksum: string | null }

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
