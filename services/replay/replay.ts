import type { CloudEvent, UnreadableCloudEvent } from '../../events/cloud-event.ts'
import { parseCursor } from '../../events/cursor.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { EventType } from '../../events/events.ts'
import { parseMoment } from '../../events/moment.ts'
import type { Parked } from '../../events/parked.ts'
import { objectOf } from '../api/object.ts'
import type { FractalObject } from '../api/schemas.ts'
import { fractalAsOf } from '../platform/as-of.ts'
import { outside } from '../platform/unreadable.ts'
import { type Compared, compareTable, rebuild, rollBack } from '../projector/rebuild.ts'
import { imagesAt, type OpenLog, openLog, withDoctorPartsAt } from './connections.ts'
import type { Diagnosis } from './doctor/diagnosis.ts'
import { doctor, type Examination } from './doctor/doctor.ts'
import type { ImageProgress } from './doctor/orphans.ts'
import { type Exported, exportLog } from './export.ts'
import type { Finding } from './findings.ts'
import { type Imported, type ImportProgress, importLog } from './import.ts'
import { type DryRun, type Going, type Park, parkAt, type Tried } from './park.ts'
import type { ParkedItem, ShownEvent } from './parked-items.ts'
import { inOurWords, never, placeOf, type ReplayOptions } from './place.ts'
import { withRenderer } from './redrawing.ts'
import { showHistory, type TimelineEntry } from './show.ts'
import { tailLog } from './tail.ts'
import { requireUuid } from './uuid.ts'
import { type Verified, type VerifyProgress, verify } from './verify.ts'

/*
 * `faafo/replay`: what `faafo replay` does, for programs.
 *
 *   const replay = createReplay({ natsUrl, databaseUrl, storageUrl })
 *   const { findings } = await replay.verify({ pictures: 3, signal })
 *   if (findings.some(({ kind }) => kind === 'row-differs')) await replay.rebuild({ signal })
 */

export type {
  CloudEvent,
  Compared,
  Diagnosis,
  Examination,
  Exported,
  Finding,
  FractalObject,
  Imported,
  Park,
  Parked,
  ParkedItem,
  ReplayOptions,
  ShownEvent,
  TimelineEntry,
  Tried,
  UnreadableCloudEvent,
  Verified,
}
export { FaafoError, isFaafoError }

type Tailing = {
  /** From after this cursor, or from this time (RFC 3339) on; '0' for everything. The last ten where nothing is given. */
  since?: string | undefined
  /** Only of these fractals, or of these types; all where there are none. */
  uuids?: readonly string[]
  types?: readonly EventType[]
  /** Whether to wait for more once the end of the log is reached, as it does where nothing is said. */
  follow?: boolean
  /** Ends it, without an error. */
  signal?: AbortSignal | undefined
}

/**
 * Each call opens what it needs and has closed it once it is over. All throw FaafoError: `unreachable` where no broker
 * answers within five seconds, or no database; `log-unavailable` where the broker refuses us, or is away when something is
 * looked up: what reads the log from one end to the other waits for it, `importFrom` for a minute; `log-replaced` where it comes
 * back without what was read or stored; `invalid-config` where `databaseUrl` or `storageUrl` is needed and was not given;
 * `invalid-request` for a cursor, time or uuid that is none; `internal` for what nobody expected, such as a right that the
 * database does not grant.
 * With `dryRun` nothing is changed. Counts are in events, images or pictures. Where the schema of the database is older than this
 * version's, all but `doctor` bring it up to date first, as a service does that starts.
 */
export type Replay = {
  /** Events as they are recorded, in the order of the log. Throws `log-replaced` where the cursor is of another log. */
  tail(options?: Tailing): AsyncGenerator<CloudEvent | UnreadableCloudEvent, void, undefined>
  /** Everything that happened to a fractal, oldest first, also to one that was deleted; nothing where there is none. */
  show(uuid: string): Promise<TimelineEntry[]>
  /**
   * A fractal as it was at a cursor or a time (RFC 3339). Throws `not-found` where there was none, `log-replaced`,
   * `undecodable-event`.
   */
  asOf(uuid: string, moment: string): Promise<FractalObject>
  /**
   * Proves that table, log and images agree, and that so many `pictures`, chosen at random, can be drawn again to the same
   * pixels: none unless told, all for Infinity. Draws in as many threads as there are cores, or as told.
   */
  verify(options?: Going<VerifyProgress> & { pictures?: number; threads?: number }): Promise<Verified>
  /**
   * Says what is wrong and what is well, in some seconds; with `images`, which takes longer, also of images that no fractal
   * has any more. What does not answer is a finding. Safe remedies are carried out where it is to `mend`.
   */
  doctor(options?: Going<ImageProgress> & { images?: boolean; mend?: boolean | 'dry-run' }): Promise<Examination>
  /**
   * Makes the table anew from the log, and says in which rows the one before differed. It takes over at one instant;
   * whatever ends it before, nothing has changed. Throws `undecodable-event`, `log-replaced`, `fence-lost`,
   * `illegal-transition` where a newer version of this program made the table.
   */
  rebuild(options?: Going<{ seq: number; lastSeq: number }> & DryRun): Promise<Compared>
  /** Has the table and the one before the last rebuild change places. Throws as `rebuild`, and `not-found`. */
  rollback(options?: Going<{ seq: number; lastSeq: number }> & DryRun): Promise<{ seq: number }>
  /**
   * Writes the log, as far as it goes now, into a folder; done again it adds what is new. `since`: the cursor after which it
   * begins. Throws `export-unusable`, `log-replaced`, `storage-unavailable`, `storage-full`.
   */
  exportTo(
    dir: string,
    options?: Going<{ done: number; total: number }> & { images?: boolean; since?: string | undefined },
  ): Promise<Exported>
  /**
   * Appends what an export holds and the log does not, and stores its images; done again it goes on where it was ended. Makes
   * the streams where there are none. Throws `export-unusable`, `log-full`, `storage-unavailable`, `storage-full`.
   */
  importFrom(dir: string, options?: Going<ImportProgress> & DryRun): Promise<Imported>
  park: Park
}

const ignore = () => {}

/** Connects to nothing yet. Throws `invalid-config`, which speaks of the variables that the options stand for. */
export function createReplay(options: ReplayOptions): Replay {
  const place = placeOf(options)
  const { address, replicas, required, onLog, onTables } = place
  return {
    async *tail({ since, uuids = [], types = [], follow = true, signal = never } = {}) {
      const asked = { since: since === undefined ? undefined : parseMoment(since), uuids: uuids.map(requireUuid) }
      try {
        const log = await openLog(address, { logger: place.logger, signal })
        try {
          const events = tailLog(log, { ...asked, types, follow, signal: log.signal })
          for await (const event of events) yield outside(event)
        } finally {
          await log.close()
        }
      } catch (error) {
        if (!signal.aborted) throw error
      }
    },

    async show(uuid) {
      const of = requireUuid(uuid)
      return onLog(undefined, ({ log }) => showHistory(log, of))
    },

    async asOf(uuid, moment) {
      const [of, at] = [requireUuid(uuid), parseMoment(moment)]
      return onLog(undefined, async ({ log }) => objectOf(await fractalAsOf(log, of, at)))
    },

    async verify({ pictures = 0, threads, signal: asked, onProgress = ignore } = {}) {
      const url = required('storageUrl', 'verify')
      return onTables(asked, ({ signal, ...parts }) => {
        const images = imagesAt(url, parts.broker, null)
        return withRenderer({ pictures, threads }, (render) =>
          verify(parts, { images, render, pictures, signal, onProgress }),
        )
      })
    },

    async doctor({ images = false, mend = false, signal = never, onProgress = ignore } = {}) {
      const urls = { databaseUrl: required('databaseUrl', 'look'), storageUrl: required('storageUrl', 'look') }
      const at = { broker: address, ...urls, dataDir: null }
      return inOurWords(() => withDoctorPartsAt(at, (parts) => doctor(parts, { images, mend, signal, onProgress })))
    },

    async rebuild({ dryRun = false, signal: asked, onProgress = ignore } = {}) {
      return onTables(asked, ({ signal, ...parts }) => (dryRun ? compareTable : rebuild)(parts, { signal, onProgress }))
    },

    async rollback({ dryRun = false, signal: asked, onProgress = ignore } = {}) {
      return onTables(asked, ({ signal, ...parts }) => rollBack(parts, { dryRun, signal, onProgress }))
    },

    async exportTo(dir, { images: withImages = false, since, signal: asked, onProgress = ignore } = {}) {
      const needed = () => required('storageUrl', 'export images')
      if (withImages) needed()
      const from = since === undefined ? undefined : parseCursor(since)
      return onLog(asked, ({ broker, logger, signal }) => {
        // A folder that has images gets the new ones all the same.
        const images = options.storageUrl
          ? imagesAt(options.storageUrl, broker, null)
          : { get: async () => needed() as never }
        return exportLog({ broker, logger }, { dir, images, withImages, since: from, signal, onProgress })
      })
    },

    async importFrom(dir, { dryRun = false, signal: asked, onProgress = ignore } = {}) {
      const url = required('storageUrl', 'import')
      const bring = ({ broker, signal }: OpenLog) =>
        importLog(broker, { dir, images: imagesAt(url, broker, dryRun ? null : replicas), dryRun, signal, onProgress })
      return onLog(asked, bring, { readOnly: dryRun })
    },

    park: parkAt(place),
  }
}
