import type { Context } from 'hono'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { readVerified } from '../storage/image-store.ts'
import type { Api } from './api.ts'
import { awaitFresh, findFractal } from './reading.ts'
import { uuidOf } from './uuid.ts'

/** Images up to this size are verified before the first byte is sent; larger ones break off at their last. */
const WHOLE_BYTES = 4 * 1024 * 1024

/**
 * GET and HEAD /fractal/:uuid and /v1/fractal/:uuid/image. The pixels behind such an address never change: a deleted
 * uuid does not come back, and a mended image has the same pixels. So it is immutable for caches, although a mended
 * file may have another checksum.
 */
export async function getImage(api: Api, c: Context): Promise<Response> {
  const uuid = uuidOf(c, 'show the image of')
  await awaitFresh(api, c)
  const fractal = await findFractal(api, uuid)
  if (!fractal) {
    throw new FaafoError('not-found', `cannot show the image of fractal '${uuid}': there is none of that uuid`)
  }
  const { image, status } = fractal
  if (!image) {
    const isComing = status === 'requested' || status === 'rendering'
    const rest = isComing ? 'try again in a moment' : 'retry it to have one'
    throw new FaafoError('not-ready', `cannot show the image of fractal '${uuid}': it is ${status}; ${rest}`, {
      details: { status, ...(isComing && { retryAfterS: 1 }) },
    })
  }
  const etag = `"${image.checksum}"`
  const headers = {
    etag,
    'cache-control': 'public, max-age=31536000, immutable',
    'content-type': 'image/png',
    'content-disposition': `inline; filename="${uuid}.png"`,
    'x-content-type-options': 'nosniff',
  }
  if (isKnown(c.req.header('if-none-match'), etag)) {
    return new Response(null, { status: 304, headers: { etag, 'cache-control': headers['cache-control'] } })
  }
  const stored = await read(api, c, uuid, image.imageKey)
  return new Response(stored.body, { headers: { ...headers, 'content-length': String(stored.size) } })
}

/** Throws `image-lost`, `image-damaged`, `storage-unavailable`. */
async function read(api: Api, c: Context, uuid: string, key: string) {
  const wayOut = `POST /v1/fractal/${uuid}/retry has it rendered again`
  try {
    const stored = c.req.method === 'HEAD' ? await headOf(api, key) : await readVerified(api.images, key, WHOLE_BYTES)
    if (stored) return stored
    throw new FaafoError('image-lost', 'the bytes are not in storage')
  } catch (error) {
    if (!isFaafoError(error, 'image-lost') && !isFaafoError(error, 'image-damaged')) throw error
    const reason = error.code === 'image-lost' ? 'it is not in the storage' : 'the stored bytes are damaged'
    throw new FaafoError(error.code, `cannot show the image of fractal '${uuid}': ${reason}; ${wayOut}`, {
      cause: error,
      details: { uuid },
    })
  }
}

async function headOf(api: Api, key: string): Promise<{ size: number; body: null } | null> {
  const image = await api.images.get(key)
  if (!image) return null
  await image.body.cancel()
  return { size: image.size, body: null }
}

/** Whether an `If-None-Match` names the tag; weak tags count. */
const isKnown = (header: string | undefined, etag: string): boolean =>
  header !== undefined &&
  (header.trim() === '*' || header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag))
