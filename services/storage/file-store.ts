import { Buffer } from 'node:buffer'
import { createHash, randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, opendir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { inPieces, verifiedBody } from './chunks.ts'
import { type ImageStore, isImageKey, LEFTOVER_AGE_MS } from './image-store.ts'

const PIECE_BYTES = 256 * 1024

/**
 * Images as files `<dir>/ab/<key>.png` (`ab`: the key's first two digits), made on first use. A put writes a file
 * of its own in `<dir>/tmp` and renames it into place, over a copy that is there: readers keep the old one, a
 * damaged one is mended, the age is renewed. Nothing is fsynced: an image that a power cut takes is rendered again
 * from the log, and its checksum tells.
 */
export function fileStore(dir: string): ImageStore {
  const tmp = join(dir, 'tmp')
  const folderOf = (key: string) => join(dir, key.slice(0, 2))
  const pathOf = (key: string) => join(folderOf(key), `${key}.png`)
  const made = new Set<string>()
  let opened = false

  async function openFolder() {
    await io(`open ${dir}`, () => mkdir(tmp, { recursive: true }))
    if (opened) return
    opened = true
    // In the background: leftovers are no reason to keep the first put waiting, nor to refuse it.
    void store.tidy().catch(() => {})
  }

  async function openTemporary(): Promise<{ path: string; handle: FileHandle }> {
    const path = join(tmp, `${process.pid}-${randomBytes(8).toString('hex')}`)
    if (!opened) await openFolder()
    const handle = await open(path, 'wx').catch(async (error) => {
      if (!isMissing(error)) throw cannot(`write an image to ${dir}`, error)
      await openFolder()
      return io(`write an image to ${dir}`, () => open(path, 'wx'))
    })
    return { path, handle }
  }

  async function moveIntoPlace(path: string, key: string) {
    const folder = folderOf(key)
    const makeFolder = () => io(`write an image to ${dir}`, () => mkdir(folder, { recursive: true }))
    if (!made.has(folder)) {
      await makeFolder()
      made.add(folder)
    }
    await rename(path, pathOf(key)).catch(async (error) => {
      if (!isMissing(error)) throw cannot(`write an image to ${dir}`, error)
      await makeFolder()
      await io(`write an image to ${dir}`, () => rename(path, pathOf(key)))
    })
  }

  const store: ImageStore = {
    kind: 'file',

    async put(chunks, { signal } = {}) {
      const { path, handle } = await openTemporary()
      try {
        const hash = createHash('sha256')
        let size = 0
        try {
          for await (const piece of inPieces(chunks, PIECE_BYTES, signal)) {
            hash.update(piece)
            size += piece.length
            await io(`write an image to ${dir}`, () => handle.writeFile(piece))
          }
        } finally {
          await io(`write an image to ${dir}`, () => handle.close())
        }
        const key = hash.digest('hex')
        await moveIntoPlace(path, key)
        return { key, size }
      } catch (error) {
        await rm(path, { force: true }).catch(() => {})
        throw error
      }
    },

    async get(key) {
      const size = isImageKey(key) ? await sizeOf(pathOf(key)) : null
      return size === null ? null : { size, body: verifiedBody(key, piecesOf(key, pathOf(key), size)) }
    },

    async has(key) {
      return isImageKey(key) && (await sizeOf(pathOf(key))) !== null
    },

    async remove(key, { putBefore = Number.POSITIVE_INFINITY } = {}) {
      if (!isImageKey(key)) return
      const path = pathOf(key)
      // Aside first, then looked at: a put may come between a look at the path and the removal.
      const aside = join(tmp, `${process.pid}-${randomBytes(8).toString('hex')}`)
      await io(`remove image ${key}`, async () => {
        await mkdir(tmp, { recursive: true })
        await rename(path, aside)
        if ((await stat(aside)).mtimeMs >= putBefore) await rename(aside, path)
        else await rm(aside)
      }).catch((error) => {
        if (!isMissing(error.cause)) throw error
      })
    },

    async *list() {
      for (const folder of await namesIn(dir)) {
        if (!/^[0-9a-f]{2}$/.test(folder)) continue
        for (const name of await namesIn(join(dir, folder))) {
          const key = name.slice(0, -'.png'.length)
          if (!isImageKey(key) || !name.endsWith('.png')) continue
          const file = await statOf(join(dir, folder, name))
          if (file) yield { key, size: file.size, putAt: file.mtimeMs }
        }
      }
    },

    async check() {
      const { path, handle } = await openTemporary()
      try {
        // A few kilobytes: on a full disk an empty file could still be made.
        await io(`write to ${dir}`, () => handle.writeFile(new Uint8Array(4096)))
      } finally {
        await handle.close().catch(() => {})
        await rm(path, { force: true }).catch(() => {})
      }
    },

    async tidy() {
      let removed = 0
      for (const name of await namesIn(tmp)) {
        const file = await statOf(join(tmp, name))
        if (!file || Date.now() - file.mtimeMs < LEFTOVER_AGE_MS) continue
        await io(`tidy ${tmp}`, () => rm(join(tmp, name), { force: true }))
        removed++
      }
      return removed
    },
  }
  return store
}

/** The first `size` bytes. Opened with the first read, so that a body nobody reads holds no file open. */
async function* piecesOf(key: string, path: string, size: number): AsyncGenerator<Uint8Array> {
  const handle = await open(path).catch((error) => {
    if (isMissing(error)) throw new FaafoError('image-lost', `cannot read image ${key}: it was removed meanwhile`)
    throw cannot(`read image ${key}`, error)
  })
  try {
    for (let left = size; left > 0; ) {
      const piece = Buffer.allocUnsafeSlow(Math.min(left, PIECE_BYTES))
      const { bytesRead } = await io(`read image ${key}`, () => handle.read(piece, 0, piece.length))
      if (bytesRead === 0) return
      left -= bytesRead
      yield piece.subarray(0, bytesRead)
    }
  } finally {
    await handle.close().catch(() => {})
  }
}

async function statOf(path: string) {
  return stat(path).catch((error) => {
    if (isMissing(error)) return null
    throw cannot(`look at ${path}`, error)
  })
}

const sizeOf = async (path: string) => (await statOf(path))?.size ?? null

async function namesIn(folder: string): Promise<string[]> {
  try {
    const names: string[] = []
    for await (const entry of await opendir(folder)) names.push(entry.name)
    return names
  } catch (error) {
    if (isMissing(error)) return []
    throw cannot(`list ${folder}`, error)
  }
}

const codeOf = (error: unknown) => (error instanceof Error && 'code' in error ? error.code : undefined)
const isMissing = (error: unknown) => codeOf(error) === 'ENOENT'

async function io<T>(action: string, work: () => Promise<T>): Promise<T> {
  return work().catch((error) => {
    throw cannot(action, error)
  })
}

function cannot(action: string, error: unknown): FaafoError {
  const full = codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT'
  const code = full ? 'storage-full' : 'storage-unavailable'
  return new FaafoError(code, `cannot ${action}: ${messageOf(error)}`, { cause: error })
}
