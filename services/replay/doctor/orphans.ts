import { inArray } from 'drizzle-orm'
import { FaafoError, isFaafoError } from '../../../events/errors.ts'
import { parkedIdOf } from '../../../events/parked.ts'
import { fractalIn } from '../../kernel/description.ts'
import { querying } from '../../platform/database.ts'
import { readAll, startOfLog, verifyPosition } from '../../platform/log-reader.ts'
import { droppedEvents } from '../../platform/parked-events.ts'
import { fractal } from '../../platform/schema.ts'
import { isUnreadable } from '../../platform/unreadable.ts'
import { positionOf } from '../../projector/checkpoint.ts'
import { checkClocks } from './clocks.ts'
import { type Examined, MEND, type Mend, ok, skipped, warning } from './diagnosis.ts'
import { checkStorage } from './image-checks.ts'
import { type Patient, patiently, requireGoing } from './patient.ts'

/*
 * Bytes that no fractal of the log has: those of renders that were never recorded, and of fractals that were deleted.
 * What the table names is kept. Only where there is more the log is read, and decides: a table can be wrong.
 */

/** Younger bytes may belong to an event that is about to be recorded. */
const ORPHAN_AGE_MS = 3_600_000
const PAGE = 500

export type ImageProgress = { step: 'images' | 'log'; done: number; total: number }
type OnProgress = (progress: ImageProgress) => void

/** A stored image that no row names: its size and, of what the log says, whose it was and is. */
type Candidate = { size: number; everOf: Set<string>; of: Set<string> }
type Candidates = ReadonlyMap<string, Candidate>

export async function checkOrphans(patient: Patient, onProgress: OnProgress): Promise<Examined> {
  const { checkpoint, images } = patient
  const row = await checkpoint()
  if (!row || row.seq === 0) return skipped('orphan-images', 'nothing was read of the log yet')
  const position = positionOf(row)
  try {
    await patiently(() => verifyPosition(patient.log, position))
  } catch (error) {
    if (!isFaafoError(error, 'log-replaced')) throw error
    return skipped(
      'orphan-images',
      'this is not the log that the table was made from, and what it lacks may have images',
    )
  }
  const before = Date.now() - ORPHAN_AGE_MS
  const { candidates, count } = await unnamedInTable(patient, before, onProgress)
  if (candidates.size > 0) await readOwners(patient, candidates, onProgress)
  const orphans = new Map([...candidates].filter(([, { of }]) => of.size === 0))
  const strangers = await strangersAmong(patient, orphans)
  for (const key of strangers) orphans.delete(key)

  const others = `${strangers.length} of ${count} images are of fractals that this log does not know`
  if (orphans.size === 0) {
    if (strangers.length === 0) return ok('orphan-images', `none older than an hour among ${count}`)
    return warning('orphan-images', others, 'give every installation a storage of its own (STORAGE_URL); they stay')
  }
  const bytes = [...orphans.values()].reduce((sum, { size }) => sum + size, 0)
  const megabytes = `${(bytes / 1e6).toFixed(1)} MB`
  const mend: Mend = {
    ...{ kind: 'images', what: `removes ${orphans.size} images (${megabytes}) that no fractal has` },
    async carryOut() {
      await requireSweepable(patient)
      for (const key of orphans.keys()) await images.remove(key, { putBefore: before })
    },
  }
  const found = `${orphans.size} of ${count} images (${megabytes}) are of no fractal`
  return warning('orphan-images', strangers.length > 0 ? `${found}; ${others}` : found, `${MEND} --images`, mend)
}

/** Images put before that moment that no row names; and how many there are in all. */
async function unnamedInTable(
  { db, images, signal }: Patient,
  before: number,
  onProgress: OnProgress,
): Promise<{ candidates: Map<string, Candidate>; count: number }> {
  const candidates = new Map<string, Candidate>()
  let count = 0
  let page = new Map<string, number>()
  async function strikeNamed() {
    const named = await querying(
      'look for images in the table',
      () =>
        db
          .select({ checksum: fractal.checksum })
          .from(fractal)
          .where(inArray(fractal.checksum, [...page.keys()])), // the key, in the column that has an index
    )
    for (const { checksum } of named) page.delete(checksum ?? '')
    for (const [key, size] of page) candidates.set(key, { size, everOf: new Set(), of: new Set() })
    page = new Map()
    onProgress({ step: 'images', done: count, total: count })
  }
  for await (const { key, size, putAt } of images.list()) {
    requireGoing(signal)
    count++
    if (putAt < before) page.set(key, size)
    if (page.size === PAGE) await strikeNamed()
  }
  if (page.size > 0) await strikeNamed()
  return { candidates, count }
}

/** Up to the log's end after the images were listed: an event that names one of them has come by then. */
async function readOwners(patient: Patient, candidates: Candidates, onProgress: OnProgress): Promise<void> {
  const { log, broker, logger, signal } = patient
  const { lastSeq } = await patiently(() => log.head())
  if (lastSeq === 0) return
  const keysOf = new Map<string, string[]>()
  let seq = 0
  const dropped = await patiently(() => droppedEvents(broker))
  for await (const batch of readAll({ broker, log, logger }, { from: startOfLog, until: lastSeq, signal })) {
    for (const event of batch) {
      const { fractal: uuid } = event
      if (isUnreadable(event)) {
        if (dropped.has(parkedIdOf(event))) continue
        throw new FaafoError('undecodable-event', event.unreadable) // it may name an image
      }
      if (event.type === 'TaskCompleted') {
        const { imageKey } = event.data
        const candidate = candidates.get(imageKey)
        if (!candidate) continue
        candidate.everOf.add(uuid)
        candidate.of.add(uuid)
        keysOf.set(uuid, [...(keysOf.get(uuid) ?? []), imageKey])
      } else if (event.type === 'TaskDeleted') {
        for (const key of keysOf.get(uuid) ?? []) candidates.get(key)?.of.delete(uuid)
      }
    }
    seq = batch.at(-1)?.seq ?? seq
    onProgress({ step: 'log', done: seq, total: lastSeq })
  }
  if (seq < lastSeq) requireGoing(signal)
}

/** Of these, the pictures that say they are of a fractal that was never requested here: somebody else's. */
async function strangersAmong({ images, log, broker, signal }: Patient, orphans: Candidates): Promise<string[]> {
  const strangers: string[] = []
  for (const [key, { everOf }] of orphans) {
    requireGoing(signal)
    const uuid = everOf.size > 0 ? null : fractalIn(await headOf(images, key))
    if (uuid === null) continue
    const request = await patiently(() => log.read(broker.names.requested(uuid, 1))).catch((error) => {
      if (isFaafoError(error, 'undecodable-event')) return 'unreadable'
      throw error
    })
    if (request === null) strangers.push(key)
  }
  return strangers
}

/** The first bytes, unverified; none where they cannot be read. */
async function headOf(images: Patient['images'], key: string): Promise<Uint8Array> {
  const image = await images.get(key)
  const reader = image?.body.getReader()
  try {
    return (await reader?.read())?.value ?? new Uint8Array()
  } catch (error) {
    if (isFaafoError(error, 'image-damaged') || isFaafoError(error, 'image-lost')) return new Uint8Array()
    throw error
  } finally {
    await reader?.cancel().catch(() => {})
  }
}

/** Throws where this may be the wrong log, the wrong storage, or the wrong time. */
async function requireSweepable(patient: Patient): Promise<void> {
  const row = await patient.checkpoint()
  if (row) await patiently(() => verifyPosition(patient.log, positionOf(row)))
  for (const { severity, found } of [await checkStorage(patient), await checkClocks(patient)]) {
    if (severity !== 'ok') throw new FaafoError('illegal-transition', `cannot remove images: ${found}`)
  }
}
