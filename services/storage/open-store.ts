import type { NatsConnection } from 'nats'
import { FaafoError } from '../../events/errors.ts'
import { fileStore } from './file-store.ts'
import type { ImageStore } from './image-store.ts'
import { natsObjectStore } from './nats-object-store.ts'
import { parseStorageUrl } from './storage-url.ts'

/** The image store at `url`. Connects to nothing yet. Throws `invalid-config`. */
export function openStore(
  url: string,
  {
    nats,
    replicas = 1,
    bucketName = (bucket) => bucket,
  }: {
    /** Asked anew for each use; may throw while there is no connection. Needed for `nats-object:` only. */
    nats?: () => NatsConnection
    /** Copies of a bucket that is made here; one that exists stays as it is. null: none is made. */
    replicas?: number | null | undefined
    /** A bucket's full name, in a namespace. */
    bucketName?: (bucket: string) => string
  } = {},
): ImageStore {
  const location = parseStorageUrl(url)
  if (location.kind === 'file') return fileStore(location.dir)
  if (nats) return natsObjectStore(nats, bucketName(location.bucket), { replicas })
  throw new FaafoError('invalid-config', `cannot store images at ${url}: it needs a connection to the broker`)
}
