import { join } from 'node:path'
import { headers } from 'nats'
import * as assert from 'uvu/assert'
import type { Cursor } from '../../events/cursor.ts'
import { FaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { fold, isFractal, type Task } from '../../events/task.ts'
import { openMessages } from '../../services/platform/log-messages.ts'
import { type LogMessage, readLog, readMessages, startOfLog } from '../../services/platform/log-reader.ts'
import { type Exported, exportLog } from '../../services/replay/export.ts'
import { readLines, readManifest } from '../../services/replay/export-folder.ts'
import { type Imported, type ImportOptions, importLog } from '../../services/replay/import.ts'
import { fileStore } from '../../services/storage/file-store.ts'
import type { ImageStore } from '../../services/storage/image-store.ts'
import { type LogParts, withLog } from '../platform/with-log.ts'
import { withTempDir } from '../support/temp.ts'

/** An installation without services. */
export type Place = LogParts & {
  images: ImageStore
  exportTo(dir: string, options?: { withImages?: boolean; since?: Cursor; signal?: AbortSignal }): Promise<Exported>
  importFrom(dir: string, options?: Partial<ImportOptions>): Promise<Imported>
  /** All that is in the log, in its order. */
  messages(): Promise<LogMessage[]>
  /** Into the log past all rules, as no program of ours would. */
  write(subject: string, attributes: Record<string, string>, body: string | Uint8Array): Promise<void>
}

const never = new AbortController().signal

/** Gives `use` a folder and two installations, both empty. */
export const withTwoPlaces = (use: (source: Place, target: Place, dir: string) => Promise<void>): Promise<void> =>
  withTempDir((dir) =>
    withLog((source) =>
      withLog((target) => use(placeOf(source, join(dir, 'a')), placeOf(target, join(dir, 'b')), join(dir, 'export'))),
    ),
  )

export const withOnePlace = (use: (place: Place, dir: string) => Promise<void>): Promise<void> =>
  withTempDir((dir) => withLog((parts) => use(placeOf(parts, join(dir, 'a')), join(dir, 'export'))))

function placeOf(parts: LogParts, imagesDir: string): Place {
  const { broker, logger } = parts
  const images = fileStore(imagesDir)
  return {
    ...parts,
    images,
    exportTo: (dir, options = {}) =>
      exportLog({ broker, logger }, { dir, images, withImages: false, signal: never, ...options }),
    importFrom: (dir, options = {}) => importLog(broker, { dir, images, dryRun: false, signal: never, ...options }),
    async messages() {
      const log = openMessages(broker)
      const { lastSeq } = await log.head()
      const done = new AbortController()
      const all: LogMessage[] = []
      if (lastSeq === 0) return all
      for await (const batch of readMessages({ broker, log, logger }, { from: startOfLog, signal: done.signal })) {
        all.push(...batch)
        if (all.length >= lastSeq) done.abort()
      }
      return all
    },
    async write(subject, attributes, body) {
      const head = headers()
      for (const [name, value] of Object.entries(attributes)) head.set(name, value)
      await broker.nc().jetstream().publish(subject, body, { headers: head })
    },
  }
}

/** What an import keeps of a message: all but its sequence and when it came here. */
export function keptOf({ id, subject, headers, body, recordedAt }: LogMessage) {
  const {
    'ce-recordedtime': _,
    'ce-importid': __,
    ...attributes
  } = Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith('Nats-')))
  return { id, subject, attributes, body: Buffer.from(body).toString('latin1'), recordedAt }
}

export const kept = async (place: Place) => (await place.messages()).map(keptOf)

/** The state of every fractal, in the order of creation, but for what names sequences. */
export async function folds(place: Place): Promise<unknown[]> {
  const { lastSeq } = await place.log.head()
  const histories = new Map<string, RecordedEvent[]>()
  const done = new AbortController()
  if (lastSeq === 0) return []
  for await (const batch of readLog(place, { from: startOfLog, signal: done.signal })) {
    for (const event of batch) histories.set(event.fractal, [...(histories.get(event.fractal) ?? []), event])
    if ((batch.at(-1)?.seq ?? 0) >= lastSeq) done.abort()
  }
  return [...histories].map(([uuid, events]) => [uuid, withoutSequences(fold(events))])
}

const withoutSequences = (task: Task) =>
  isFractal(task) ? { ...task, first: task.first.id, last: task.last.id } : task

/** The lines of an export. */
export const fileOf = (dir: string) => join(dir, 'events.ndjson')

/** Reads it as an import does. */
export async function linesOf(dir: string) {
  const manifest = await readManifest(dir)
  if (!manifest) throw new Error('there is a manifest')
  const lines = []
  for await (const batch of readLines(dir, manifest)) lines.push(...batch)
  return lines
}

export const refused = async (work: Promise<unknown>): Promise<FaafoError> => {
  const error = await work.then(
    () => null,
    (error) => error,
  )
  if (!(error instanceof FaafoError)) assert.unreachable(`it is refused: ${error}`)
  return error as FaafoError
}
