import { Buffer } from 'node:buffer'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, stat } from 'node:fs/promises'
import { type Cursor, parseCursor } from '../../events/cursor.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { Broker } from '../platform/broker.ts'
import { VERSION } from '../platform/identity.ts'
import { type LogMessages, openMessages } from '../platform/log-messages.ts'
import { readMessages, startOfLog, verifyPosition } from '../platform/log-reader.ts'
import type { Logger } from '../platform/logger.ts'
import { fileStore } from '../storage/file-store.ts'
import type { ImageStore } from '../storage/image-store.ts'
import { eventsFile, imagesFolder, readLines, readManifest, writeManifest, writing } from './export-folder.ts'
import { type ExportedEvent, lineOf, type Manifest, originOf } from './export-format.ts'
import { copyImage, forEachImage } from './export-images.ts'
import { cursorText } from './findings.ts'
import { interrupted, throughOutages } from './outages.ts'

export type ExportOptions = {
  /** Made where it is not there. One that holds an export of the same log gets what is new. */
  dir: string
  images: Pick<ImageStore, 'get'>
  /** Whether to copy images; a folder that has them gets the new ones all the same. */
  withImages: boolean
  /** The cursor after which it begins. Not said: where that of the folder does, or the start of the log. */
  since?: Cursor | undefined
  signal: AbortSignal
  onProgress?: (progress: { done: number; total: number }) => void
}

export type Exported = Pick<Manifest, 'events' | 'first' | 'last' | 'head' | 'images'> & {
  /** Events that were not there before. */
  added: number
}

const BATCH = 5_000

/**
 * Writes the log, as far as it goes now, into a folder. Whatever ends it, the manifest goes on speaking of an export
 * that is whole, and the next one goes on at the last whole line. Two of them at once are no harm: what a line says and
 * where it stands hang on the log alone, and the manifest is that of the one which goes further. Throws `log-replaced`
 * where the folder holds an export of another log, or the log loses its end meanwhile, `export-unusable` where what it
 * holds is damaged, `invalid-request`, `storage-unavailable`, `storage-full`, `log-unavailable`, `aborted`.
 */
export async function exportLog(
  { broker, logger }: { broker: Broker; logger: Logger },
  { dir, images, withImages, since, signal, onProgress = () => {} }: ExportOptions,
): Promise<Exported> {
  const log = openMessages(broker)
  const { lastSeq } = await log.head()
  const manifest = await openExport(dir, log, since)
  const target = fileStore(imagesFolder(dir))
  const count = withImages || manifest.images ? { copied: 0, missing: 0 } : null
  const copy = async (key: string) =>
    (await target.has(key)) ? 'copied' : copyImage(key, { from: images, to: target, signal })
  async function takeImages(lines: readonly ExportedEvent[], count: Manifest['images']): Promise<void> {
    if (signal.aborted) throw interrupted()
    if (!count) return
    await forEachImage(lines, async (key) => {
      const outcome = await throughOutages(signal, () => copy(key))
      count[outcome === 'copied' ? 'copied' : 'missing']++
    })
  }

  let end = startOf(manifest)
  for await (const lines of wholeLines(dir, manifest)) {
    await takeImages(lines, count)
    for (const line of lines) end = endAfter(end, line, line.hash, line.end)
    onProgress({ done: end.seq, total: lastSeq })
  }
  const known = end.events

  const position = { seq: end.seq, id: end.id, streamCreated: manifest.log, time: end.time }
  await verifyPosition(log, position)
  const file = eventsFile(dir)
  const handle = await writing(file, () => open(file, constants.O_RDWR | constants.O_CREAT))
  try {
    const reading = { from: position, until: lastSeq, signal, batchSize: BATCH }
    for await (const batch of readMessages({ broker, log, logger }, reading)) {
      const offset = end.bytes
      const pieces: Buffer[] = []
      const lines: ExportedEvent[] = []
      for (const message of batch) {
        const { exported, bytes, hash } = lineOf(message, broker.names.withoutNamespace(message.subject), end.head)
        pieces.push(bytes)
        lines.push(exported)
        end = endAfter(end, exported, hash, end.bytes + bytes.length)
      }
      await takeImages(lines, count)
      const all = Buffer.concat(pieces)
      await writing(file, () => writeAll(handle, all, offset))
      onProgress({ done: end.seq, total: lastSeq })
    }
    if (end.seq < lastSeq) throw interrupted()
    await writing(file, () => handle.sync())
  } finally {
    await handle.close()
  }
  const { seq: _, id: __, time: ___, ...written } = end
  const writtenAt = new Date().toISOString()
  const ours = { ...manifest, ...written, images: count, program: VERSION, writtenAt, complete: true }
  const { events, first, last, head, images: taken } = await conclude(ours)
  return { events, added: events - known, first, last, head, images: taken }

  /** Another export may have ended here meanwhile: the one that goes further stands, with images if either has any. */
  async function conclude(ours: Manifest): Promise<Manifest> {
    const theirs = await readManifest(dir)
    const further = theirs?.complete && theirs.events > ours.events ? theirs : ours
    if (!further.images && (ours.images || theirs?.images)) {
      const count = { copied: 0, missing: 0 }
      for await (const lines of readLines(dir, further)) await takeImages(lines, count)
      return conclude({ ...further, images: count })
    }
    if (further === ours) await writeManifest(dir, ours)
    return further
  }
}

/** What the folder holds, or, where it holds nothing, the beginning of an export. */
async function openExport(dir: string, log: LogMessages, since: Cursor | undefined): Promise<Manifest> {
  await writing(dir, () => mkdir(dir, { recursive: true }))
  const asked = since && cursorText(since.seq, since.idPrefix)
  const known = await readManifest(dir)
  if (known) {
    if (asked === undefined || asked === known.since) return known
    throw new FaafoError(
      'invalid-request',
      `cannot export to ${dir}: it holds an export since ${known.since ?? 'the start of the log'}; name another folder`,
    )
  }
  if (await stat(eventsFile(dir)).catch(() => null)) {
    if (await readManifest(dir)) return openExport(dir, log, since) // another export has begun meanwhile
    throw new FaafoError('export-unusable', `cannot export to ${dir}: it holds events.ndjson, but no manifest.json`)
  }
  // Before anything is written: a folder keeps to its beginning.
  const from = since ? { ...startOfLog, seq: since.seq, id: since.idPrefix } : startOfLog
  const { created } = await verifyPosition(log, from)
  const begun = { program: VERSION, writtenAt: new Date().toISOString(), log: created, since: asked ?? null }
  const nothing = { complete: false, events: 0, bytes: 0, first: null, last: null, head: originOf(begun), images: null }
  // Before the first line, which nobody could tell the log of.
  const isFirst = await writeManifest(dir, { ...begun, ...nothing }, { first: true })
  return isFirst ? { ...begun, ...nothing } : openExport(dir, log, since)
}

/** The lines up to where an export that was interrupted ended, perhaps in the middle of one. */
async function* wholeLines(dir: string, manifest: Manifest) {
  try {
    yield* readLines(dir, manifest, { beyond: true })
  } catch (error) {
    const isBeyond = isFaafoError(error, 'export-unusable') && Number(error.details.offset) >= manifest.bytes
    if (!isBeyond) throw error
  }
}

/** How far lines go, and the event of the last. */
type End = Pick<Manifest, 'events' | 'bytes' | 'first' | 'last' | 'head'> & {
  seq: number
  id: string | null
  /** Unix milliseconds of the last that was not imported. */
  time: number
}

function startOf(manifest: Manifest): End {
  const { seq, idPrefix: id } = manifest.since === null ? { seq: 0, idPrefix: null } : parseCursor(manifest.since)
  return { events: 0, bytes: 0, first: null, last: null, head: originOf(manifest), seq, id, time: 0 }
}

function endAfter(end: End, { seq, recordedtime, event }: ExportedEvent, head: string, bytes: number): End {
  const id = String(event.id ?? '')
  const last = cursorText(seq, id || null)
  const time = event.recordedtime === undefined ? Date.parse(recordedtime) : end.time
  return { events: end.events + 1, bytes, first: end.first ?? last, last, head, seq, id, time }
}

/** A single write may store less than it was given, such as on a disk that is nearly full. */
async function writeAll(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset + done)
    done += bytesWritten
  }
}
