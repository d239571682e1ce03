import { FaafoError } from '../../events/errors.ts'

/**
 * Where finished PNGs live. A key is the SHA-256 of the bytes, in hex: putting the same bytes twice changes nothing
 * but the age, and mends a stored copy that was damaged. Whatever is no such key is an unknown key.
 */
export type ImageStore = {
  readonly kind: 'file' | 'nats-object'
  /**
   * Streams the bytes in, with bounded memory; resolves once they can be read back. Nothing is left behind on failure
   * or abort. Throws `storage-unavailable`, `storage-full`, `aborted`, and what `chunks` throws.
   */
  put(
    chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options?: { signal?: AbortSignal },
  ): Promise<{ key: string; size: number }>
  /**
   * null where the key is unknown. `body` is verified while it is read: where the bytes do not match the key it ends
   * with an error (`image-damaged`) instead of its last chunk. Throws `storage-unavailable`, the body too.
   */
  get(key: string): Promise<StoredImage | null>
  /** Whether the key is known; says nothing of the bytes. Throws `storage-unavailable`. */
  has(key: string): Promise<boolean>
  /**
   * Also where nothing is stored. A put at the same moment may win. What was put at `putBefore` (Unix ms, by the
   * storage's clock) or later stays, also where that happens at the same moment. Throws `storage-unavailable`.
   */
  remove(key: string, options?: { putBefore?: number }): Promise<void>
  /**
   * Every stored image, for sweeping: `putAt` is when it was last put (Unix ms, by the storage's clock). One that is
   * put again meanwhile may come twice. Throws `storage-unavailable`.
   */
  list(): AsyncIterable<{ key: string; size: number; putAt: number }>
  /** Resolves where a put would probably work now. Throws `storage-unavailable`, `storage-full`. */
  check(): Promise<void>
  /**
   * Removes what puts left behind whose process died more than a day ago; returns how many. Every key stays.
   * Throws `storage-unavailable`.
   */
  tidy(): Promise<number>
}

export type StoredImage = { size: number; body: ReadableStream<Uint8Array> }

/**
 * How old, in ms, the remains of an unfinished put must be before `tidy` takes them. A day, since an image is put
 * while it is rendered, and a long render may add nothing for hours.
 */
export const LEFTOVER_AGE_MS = 24 * 3_600_000

export const isImageKey = (key: string): boolean => /^[0-9a-f]{64}$/.test(key)

/**
 * An image of at most `maxBytes` whole and verified, so that a damaged one is an error before the first byte is sent;
 * a larger one as a stream. null where the key is unknown. Throws `image-damaged`, `storage-unavailable`.
 */
export async function readVerified(
  store: Pick<ImageStore, 'get'>,
  key: string,
  maxBytes: number,
): Promise<{ size: number; body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> } | null> {
  const image = await store.get(key)
  if (image === null || image.size > maxBytes) return image
  const bytes = new Uint8Array(image.size)
  let filled = 0
  for await (const chunk of image.body) {
    if (filled + chunk.length > image.size) throw damaged(key)
    bytes.set(chunk, filled)
    filled += chunk.length
  }
  if (filled !== image.size) throw damaged(key)
  return { size: image.size, body: bytes }
}

export const damaged = (key: string): FaafoError =>
  new FaafoError('image-damaged', `cannot read image ${key}: the stored bytes do not match their checksum`, {
    details: { key },
  })
