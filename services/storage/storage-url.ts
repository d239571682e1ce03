import { fileURLToPath } from 'node:url'
import { FaafoError } from '../../events/errors.ts'

/** Where a STORAGE_URL points to. `dir` is as written; a relative one is meant from the working directory. */
export type StorageLocation = { kind: 'file'; dir: string } | { kind: 'nats-object'; bucket: string }

/**
 * Reads a STORAGE_URL: `file:` with a path, absolute or relative, taken literally; `file:///` with an absolute path,
 * percent-decoded; `nats-object:` with a bucket's name. Throws `invalid-config`.
 */
export function parseStorageUrl(url: string): StorageLocation {
  const [, scheme, rest] = /^(file|nats-object):(.+)$/s.exec(url) ?? []
  if (scheme === 'file' && rest?.startsWith('//')) return { kind: 'file', dir: pathOfFileUrl(url) }
  if (scheme === 'file' && rest) return { kind: 'file', dir: rest }
  if (scheme === 'nats-object' && rest && /^[A-Za-z0-9_-]+$/.test(rest)) return { kind: 'nats-object', bucket: rest }
  throw invalidUrl(url)
}

function pathOfFileUrl(url: string): string {
  try {
    return fileURLToPath(url)
  } catch (error) {
    throw invalidUrl(url, error)
  }
}

const invalidUrl = (url: string, cause?: unknown) =>
  new FaafoError(
    'invalid-config',
    `cannot store images at ${JSON.stringify(url)}: expected file:/some/folder, file:some/folder or nats-object:bucket`,
    { cause },
  )
