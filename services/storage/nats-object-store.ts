import { createHash } from 'node:crypto'
import type { NatsConnection } from 'nats'
import { FaafoError } from '../../events/errors.ts'
import { storageError } from './broker-errors.ts'
import { inPieces, verifiedBody } from './chunks.ts'
import { type ImageStore, isImageKey, LEFTOVER_AGE_MS } from './image-store.ts'
import { type Bucket, base64url, type ObjectMeta, openBucket, type StoredMeta } from './object-bucket.ts'

/** The Object Store's usual size; below every broker's default limit of 1 MB for a message. */
const CHUNK_BYTES = 128 * 1024
/** Chunks on their way to the broker at once: 1 MB of memory for a put. */
const WINDOW = 8

/**
 * Images as objects of a JetStream Object Store bucket, named by their key, so that machines that share nothing but
 * the broker share images. Every put writes a copy of its own under a random id, chunk by chunk as the bytes come,
 * and then lets the key point to it; a crash in between leaves chunks that no key names (`tidy`). A reader whose copy
 * is replaced goes on in the new one. Where the broker is away everything fails within about five seconds.
 *
 * `nc`: asked anew for each use when it is a function, which may throw while there is no connection. `replicas` is
 * for a bucket that is made here; one that exists stays as it is. null: none is made.
 */
export function natsObjectStore(
  nc: NatsConnection | (() => NatsConnection),
  bucketName: string,
  { replicas = 1, now = Date.now }: { replicas?: number | null; now?: () => number } = {},
): ImageStore {
  let opened: { nc: NatsConnection; bucket: Promise<Bucket> } | undefined

  async function open(): Promise<Bucket> {
    const connection = typeof nc === 'function' ? nc() : nc
    if (opened?.nc !== connection) {
      const opening = { nc: connection, bucket: openBucket(connection, bucketName, replicas) }
      opened = opening
      opening.bucket.catch(() => {
        if (opened === opening) opened = undefined
      })
    }
    return opened.bucket
  }

  /** Names what failed; the bucket is then opened anew for the next use, in case that it was deleted. */
  async function attempt<T>(action: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      const failure = storageError(action, error)
      if (failure.code === 'storage-unavailable') opened = undefined
      throw failure
    }
  }

  const on = <T>(action: string, work: (bucket: Bucket) => Promise<T>) =>
    attempt(action, async () => work(await open()))

  async function put(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, signal: AbortSignal | undefined) {
    const action = 'store the image'
    const bucket = await attempt(action, open)
    const id = bucket.newId()
    const hash = createHash('sha256')
    const inFlight: Promise<number>[] = []
    let size = 0
    let count = 0
    let first = 0
    let last = 0

    async function acknowledged() {
      const seq = await attempt(action, async () => inFlight[0])
      inFlight.shift()
      if (seq === undefined) return
      if (seq <= last) throw new FaafoError('storage-unavailable', `cannot ${action}: its chunks were reordered`)
      if (first === 0) first = seq
      last = seq
    }

    try {
      for await (const chunk of inPieces(chunks, CHUNK_BYTES, signal)) {
        hash.update(chunk)
        size += chunk.length
        count++
        const published = bucket.publishChunk(id, chunk)
        published.catch(() => {})
        inFlight.push(published)
        if (inFlight.length >= WINDOW) await acknowledged()
      }
      while (inFlight.length > 0) await acknowledged()
    } catch (error) {
      // Chunks still under way would arrive after the purge.
      await Promise.allSettled(inFlight)
      if (count > 0) await bucket.dropChunks(id).catch(() => {})
      throw error
    }
    const digest = hash.digest()
    const key = digest.toString('hex')
    const meta: ObjectMeta = {
      name: key,
      bucket: bucketName,
      nuid: id,
      size,
      chunks: count,
      digest: `SHA-256=${base64url(digest)}`,
      mtime: new Date().toISOString(),
      deleted: false,
      options: { max_chunk_size: CHUNK_BYTES },
      metadata: { first: String(first) },
    }
    await attempt(action, () => bucket.point(meta))
    return { key, size }
  }

  /** The bytes of `meta`'s copy; where another put replaces that copy meanwhile, the rest from the new one. */
  async function* bytes(key: string, meta: StoredMeta): AsyncGenerator<Uint8Array> {
    const action = `read image ${key}`
    let sent = 0
    for (let copy: StoredMeta | null = meta; copy; ) {
      let offset = 0
      const bucket = await attempt(action, open)
      try {
        for await (const chunk of bucket.chunks(copy)) {
          offset += chunk.length
          if (offset <= sent) continue
          const fresh = chunk.subarray(Math.max(0, chunk.length - (offset - sent)))
          sent = offset
          yield fresh
        }
      } catch (error) {
        throw storageError(action, error)
      }
      if (sent >= copy.size) return
      const current: StoredMeta | null = await attempt(action, () => bucket.meta(key))
      copy = current && !current.deleted && current.nuid !== copy.nuid ? current : null
    }
  }

  return {
    kind: 'nats-object',

    put: (chunks, { signal } = {}) => put(chunks, signal),

    async get(key) {
      if (!isImageKey(key)) return null
      // Asked without its leader, 2.9 says nothing at all where there is no bucket.
      const fromLeader = replicas === null
      const meta = await on(`read image ${key}`, (bucket) => bucket.meta(key, { fromLeader }))
      if (!meta || meta.deleted) return null
      return { size: meta.size, body: verifiedBody(key, bytes(key, meta)) }
    },

    async has(key) {
      if (!isImageKey(key)) return false
      const meta = await on(`look for image ${key}`, (bucket) => bucket.meta(key))
      return meta !== null && !meta.deleted
    },

    async remove(key, options) {
      if (isImageKey(key)) await on(`remove image ${key}`, (bucket) => bucket.remove(key, options))
    },

    async *list() {
      const bucket = await attempt('list the images', open)
      try {
        for await (const { name, size, putAt, deleted } of bucket.metas()) {
          if (!deleted && isImageKey(name)) yield { key: name, size, putAt }
        }
      } catch (error) {
        throw storageError('list the images', error)
      }
    },

    check: () => on('write to the image bucket', (bucket) => bucket.probe()),

    tidy: () =>
      on('tidy the image bucket', async (bucket) => {
        // In this order: an upload that gets its name in between is then either not listed or named.
        const unnamed = new Set(await bucket.copies())
        for await (const meta of bucket.metas()) {
          if (meta.deleted) await bucket.remove(meta.name)
          unnamed.delete(meta.nuid)
        }
        let removed = 0
        for (const id of unnamed) {
          const writtenAt = await bucket.writtenAt(id)
          if (writtenAt === null || now() - writtenAt < LEFTOVER_AGE_MS || (await isNamed(bucket, id))) continue
          await bucket.dropChunks(id)
          removed++
        }
        return removed
      }),
  }
}

/** Whether the copy is an image's after all: a list in pages can leave out a name that moves meanwhile. */
async function isNamed(bucket: Bucket, id: string): Promise<boolean> {
  const hash = createHash('sha256')
  for await (const chunk of bucket.chunks({ nuid: id, chunks: Number.POSITIVE_INFINITY })) hash.update(chunk)
  return (await bucket.meta(hash.digest('hex')))?.nuid === id
}
