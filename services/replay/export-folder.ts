import { Buffer } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { link, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FaafoError, messageOf } from '../../events/errors.ts'
import {
  type ExportedEvent,
  type Manifest,
  manifestBytes,
  originOf,
  readLine,
  readManifestBytes,
} from './export-format.ts'

/** One line of an export, and where in the file it ends. `number` counts from 1. */
export type Line = ExportedEvent & { number: number; hash: string; end: number }

export const eventsFile = (dir: string): string => join(dir, 'events.ndjson')
export const imagesFolder = (dir: string): string => join(dir, 'images')
const manifestFile = (dir: string): string => join(dir, 'manifest.json')

/** null where there is none. Throws `export-unusable`, `storage-unavailable`. */
export async function readManifest(dir: string): Promise<Manifest | null> {
  const file = manifestFile(dir)
  const bytes = await readFile(file).catch((error) => {
    if (isCode(error, 'ENOENT')) return null
    throw unreadable(file, error)
  })
  if (!bytes) return null
  try {
    return readManifestBytes(bytes)
  } catch (error) {
    throw new FaafoError('export-unusable', `cannot use ${file}: ${messageOf(error)}`, { cause: error })
  }
}

/**
 * At one instant: whoever reads meanwhile finds the one before or this one, whole. The `first` is not written, and the
 * answer is no, where there is one already. Throws as `writing` does.
 */
export async function writeManifest(dir: string, manifest: Manifest, { first = false } = {}): Promise<boolean> {
  const file = manifestFile(dir)
  const draft = `${file}.${randomUUID()}.part`
  return writing(file, async () => {
    try {
      await writeNew(draft, manifest)
      if (!first) await rename(draft, file)
      else
        await link(draft, file).catch((error) =>
          isCode(error, ...NO_LINKS) ? writeNew(file, manifest) : Promise.reject(error),
        )
      return true
    } catch (error) {
      if (first && isCode(error, 'EEXIST')) return false
      throw error
    } finally {
      await rm(draft, { force: true })
    }
  })
}

async function writeNew(file: string, manifest: Manifest): Promise<void> {
  const handle = await open(file, 'wx')
  try {
    await handle.writeFile(manifestBytes(manifest))
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** What file systems without hard links answer: those of memory sticks, and of buckets that are mounted. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']

const isCode = (error: unknown, ...codes: string[]) =>
  error instanceof Error && 'code' in error && codes.includes(String(error.code))

/** Throws `storage-full` or `storage-unavailable` where `write` fails. */
export async function writing<T>(file: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (error) {
    const code = isCode(error, 'ENOSPC', 'EDQUOT') ? 'storage-full' : 'storage-unavailable'
    throw new FaafoError(code, `cannot write ${file}: ${messageOf(error)}`, { cause: error })
  }
}

const PIECE_BYTES = 1 << 20
/** No event comes near. */
const LONGEST_LINE = 16 << 20
const NEWLINE = 10

/**
 * The lines of an export in batches, each held against the hash of the one before: those that the manifest speaks of or,
 * `beyond` it, all that are there. Throws `export-unusable`, with the `line` and the `offset` at which it begins, at the
 * first that is not what it was, after those before it; `storage-unavailable`.
 */
export async function* readLines(
  dir: string,
  manifest: Manifest,
  { beyond = false } = {},
): AsyncGenerator<Line[], void, undefined> {
  const file = eventsFile(dir)
  let previous = originOf(manifest)
  let [number, end] = [0, 0]
  const broken = (reason: string, cause?: unknown) =>
    new FaafoError('export-unusable', `cannot use ${file}: line ${number + 1} is damaged: ${reason}`, {
      cause,
      details: { line: number + 1, offset: end },
    })
  let rest: Buffer = Buffer.alloc(0)
  for await (const piece of piecesOf(file, beyond ? Number.POSITIVE_INFINITY : manifest.bytes)) {
    const bytes = rest.length > 0 ? Buffer.concat([rest, piece]) : piece
    const lines: Line[] = []
    let begin = 0
    try {
      for (let stop = bytes.indexOf(NEWLINE); stop >= 0; stop = bytes.indexOf(NEWLINE, begin)) {
        const { exported, hash } = readLine(bytes.subarray(begin, stop), previous)
        end += stop + 1 - begin
        lines.push({ ...exported, number: ++number, hash, end })
        previous = hash
        begin = stop + 1
      }
    } catch (error) {
      if (lines.length > 0) yield lines
      throw broken(messageOf(error), error)
    }
    if (lines.length > 0) yield lines
    rest = bytes.subarray(begin)
    if (rest.length > LONGEST_LINE) throw broken('it has no end')
  }
  if (rest.length > 0) throw broken('it is not whole')
  if (!beyond && (end !== manifest.bytes || number !== manifest.events || previous !== manifest.head)) {
    throw broken(`the manifest speaks of ${manifest.events} lines, ${number} are there`)
  }
}

async function* piecesOf(file: string, bytes: number): AsyncGenerator<Buffer> {
  if (bytes === 0) return
  const stream = createReadStream(file, { highWaterMark: PIECE_BYTES, end: bytes - 1 })
  try {
    for await (const piece of stream) yield piece
  } catch (error) {
    if (isCode(error, 'ENOENT')) return
    throw unreadable(file, error)
  }
}

const unreadable = (file: string, cause: unknown) =>
  new FaafoError('storage-unavailable', `cannot read ${file}: ${messageOf(cause)}`, { cause })
