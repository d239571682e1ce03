import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { hostname } from 'node:os'
import type { AggregateEvent, NewAggregateEvent } from '../../events/aggregate.ts'
import { FaafoError } from '../../events/errors.ts'
import { importIdOf, importKind } from '../../events/import.ts'
import { aggregatesOf } from '../platform/aggregates.ts'
import type { Broker } from '../platform/broker.ts'
import { identify, VERSION } from '../platform/identity.ts'
import { answerRollCall } from '../platform/roll-call.ts'
import { fileStore } from '../storage/file-store.ts'
import type { ImageStore } from '../storage/image-store.ts'
import { imagesFolder, type Line, readLines, readManifest } from './export-folder.ts'
import type { Manifest } from './export-format.ts'
import { copyImage, forEachImage } from './export-images.ts'
import { createLineAppender } from './import-append.ts'
import { type ImportLog, openImportLog } from './import-log.ts'
import { type Conflict, fractalOf, planImport } from './import-plan.ts'
import { interrupted, throughOutages } from './outages.ts'

export type ImportOptions = {
  dir: string
  images: Pick<ImageStore, 'has' | 'put'>
  /** Whether only to look what an import would do: everything is read and verified, nothing is written. */
  dryRun: boolean
  signal: AbortSignal
  onProgress?: (progress: ImportProgress) => void
}

export type ImportProgress = { step: 'verifying' | 'appending'; done: number; total: number }

export type Imported = {
  /** Of the import, the same for all exports of one log. */
  id: string
  events: number
  /** Events that came, or would come, into the log; that were there already; and of fractals in conflict. */
  appended: number
  duplicates: number
  skipped: number
  conflicts: Conflict[]
  /** Fractals without an outcome, which workers render from now on. */
  unfinished: number
  /** null where the export has none. */
  images: { copied: number; missing: number; damaged: string[] } | null
}

/**
 * Appends what an export holds and the log does not, in its order, its events as they were but for the sequence. A
 * fractal that went another way here stays as it is here, and is told as a conflict; all others are imported whole. May
 * be killed at any moment: done again it goes on. Throws `export-unusable` before anything is written where any byte
 * of the lines is not what it was, or what comes before them is not here; `log-replaced` where what was stored is gone
 * before it is over; `log-unavailable`, `log-full`, `storage-unavailable`, `storage-full`, `aborted`.
 */
export async function importLog(broker: Broker, options: ImportOptions): Promise<Imported> {
  const manifest = await requireComplete(options.dir)
  const id = importIdOf(manifest.log)
  const self = { service: 'import', id: randomUUID(), name: id, host: hostname(), version: VERSION } as const
  const over = new AbortController()
  const signal = AbortSignal.any([options.signal, over.signal])
  setMaxListeners(0, signal) // every append listens
  const log = await openImportLog(broker, signal)
  if (!options.dryRun) answerRollCall(broker, () => self, over.signal) // one that was begun and does not was given up
  try {
    return await bring(log, { id, manifest }, { ...options, signal })
  } finally {
    log.close()
    over.abort()
  }
}

async function bring(
  log: ImportLog,
  { id, manifest }: { id: string; manifest: Manifest },
  { dir, images, dryRun, signal, onProgress = () => {} }: ImportOptions,
): Promise<Imported> {
  const exported = fileStore(imagesFolder(dir))
  const count: Imported['images'] = manifest.images ? { copied: 0, missing: 0, damaged: [] } : null
  const record = recordOf(log.broker, id, manifest, signal)

  const total = manifest.events
  const said = (step: ImportProgress['step'], lines: readonly Line[]) => {
    if (signal.aborted) throw interrupted()
    onProgress({ step, done: lines.at(-1)?.number ?? 0, total })
  }
  const plan = await planImport(log, dir, manifest, { signal, onLines: (lines) => said('verifying', lines) })
  const { conflicts, there: duplicates, unfinished } = plan
  const isNew = (line: Line) => !plan.isThere(line.number) && !conflicts.has(fractalOf(line))

  async function takeImage(key: string, line: Line, counted: NonNullable<Imported['images']>): Promise<void> {
    // One that is put again is young again, so that nobody sweeps it before its event is there.
    const isThere = plan.isThere(line.number) ? await images.has(key) : !isNew(line)
    if (isThere) return
    const outcome = await copyImage(key, { from: exported, to: dryRun ? nowhere : images, signal })
    if (outcome === 'damaged') counted.damaged.push(key)
    else counted[outcome]++
  }

  if (!dryRun && duplicates < total) await record.begin()
  let wouldAppend = 0
  const appender = createLineAppender(log, { importId: id, conflicts, signal })
  try {
    for await (const lines of readLines(dir, manifest)) {
      if (count) {
        await forEachImage(lines, (key, line) => throughOutages(signal, () => takeImage(key, line, count)))
      }
      for (const line of lines) {
        if (!isNew(line)) continue
        if (dryRun) wouldAppend++
        else await appender.add(line)
      }
      said('appending', lines)
    }
  } finally {
    await appender.settled()
  }
  const appended = dryRun ? wouldAppend : appender.appended()
  const counts = { appended, duplicates, conflicts: conflicts.size }
  if (!dryRun) {
    await log.verify()
    await record.finish(counts)
  }
  const skipped = total - appended - duplicates
  return { id, events: total, ...counts, skipped, conflicts: [...conflicts.values()], unfinished, images: count }
}

/** Where an image is put that is only to be read. */
const nowhere: Pick<ImageStore, 'put'> = {
  async put(chunks) {
    let size = 0
    for await (const chunk of chunks) size += chunk.length
    return { key: '', size }
  },
}

async function requireComplete(dir: string): Promise<Manifest> {
  const manifest = await readManifest(dir)
  if (manifest?.complete) return manifest
  const reason = manifest ? 'it was not finished; export again to go on with it' : 'there is no manifest.json in it'
  throw new FaafoError('export-unusable', `cannot import ${dir}: ${reason}`)
}

/** What is told of the import in the log of what is not a fractal. */
function recordOf(broker: Broker, id: string, { log, first, last, events }: Manifest, signal: AbortSignal) {
  const imports = aggregatesOf(broker, importKind)
  const newestOf = () => throughOutages(signal, () => imports.newest(id))
  let isBegun = false
  type Event = Pick<AggregateEvent<typeof importKind>, 'type' | 'data'>

  /** Until somebody has recorded it, which another import of the same export may do at the same time. */
  async function ensure(event: Event): Promise<void> {
    for (;;) {
      const newest = await newestOf()
      if ((newest?.type ?? 'ImportFinished') === event.type) return
      const next = { ...event, aggregate: id, version: (newest?.version ?? 0) + 1 } as NewAggregateEvent<
        typeof importKind
      >
      const identified = identify(next, `/import/${hostname()}`)
      await throughOutages(signal, () => imports.append(identified, { withinMs: 10_000, signal }))
    }
  }
  async function begin(): Promise<void> {
    await ensure({ type: 'ImportBegun', data: { log, first, last, events } })
    isBegun = true
  }
  return {
    begin,
    async finish(data: { appended: number; duplicates: number; conflicts: number }): Promise<void> {
      if (isBegun && !(await newestOf())) await begin() // that was lost, and workers wait for its end
      await ensure({ type: 'ImportFinished', data })
    },
  }
}
