import { cursorOf } from '../../events/cursor.ts'
import type { FaafoError } from '../../events/errors.ts'
import type { FractalRow } from '../platform/schema.ts'
import type { Difference } from '../projector/compare-models.ts'

/** What `verify` says of things that are not as they have to be, and what to do about each. */
export type FindingKind =
  | 'row-differs'
  | 'row-missing'
  | 'row-extra'
  | 'checkpoint-astray'
  | 'history-illegal'
  | 'event-unreadable'
  | 'event-parked'
  | 'log-unsound'
  | 'image-missing'
  | 'image-damaged'
  | 'picture-differs'
  | 'unverified'

/** One thing that is not as it has to be. */
export type Finding = {
  kind: FindingKind
  /** The fractal that it is about. */
  uuid: string | null
  /** The event that it is about. */
  cursor: string | null
  /** What is wrong, as a sentence. */
  problem: string
  /** The command that mends it, or what else to do. */
  remedy: string
}

export const REBUILD = 'faafo replay rebuild'

/** A row that differs. */
export function findingOf({ uuid, version, inTable, inLog, columns }: Difference): Finding {
  const about = { uuid, cursor: null, remedy: REBUILD }
  const as = version === null ? '' : `as of event ${version}: `
  if (!inTable) return { ...about, kind: 'row-missing', problem: `${as}the log has it, the table lacks it` }
  if (!inLog) return { ...about, kind: 'row-extra', problem: `${as}the table has it, the log does not know it` }
  const differing = columns.map((name) => `${name} is ${show(inTable[name])} instead of ${show(inLog[name])}`)
  return { ...about, kind: 'row-differs', problem: `${as}${differing.join(', ')}` }
}

export const more = (count: number): Finding => ({
  ...{ kind: 'row-differs', uuid: null, cursor: null },
  problem: `${count} rows more differ`,
  remedy: REBUILD,
})

const show = (value: unknown) => JSON.stringify(value) ?? 'missing'

/** An event that its fractal's history does not allow. */
export type Objection = { fractal: string; type: string; seq: number; cursor: string; reason: string }

export const illegal = ({ fractal, type, seq, cursor, reason }: Objection): Finding => ({
  kind: 'history-illegal',
  uuid: fractal,
  cursor,
  problem: `${type} of event ${seq} cannot follow: ${reason}`,
  remedy: `look at faafo replay show ${fractal}; something else than this program wrote to the log`,
})

/** More than are looked into. */
export const unlooked = (count: number): Finding => ({
  ...{ kind: 'unverified', uuid: null, cursor: null },
  problem: `${count} events more seem to be out of place and were not looked into`,
  remedy: 'mend what is named here, and verify again',
})

/** Of what no projector has brought into the table there is nothing to compare, and no image to look for. */
export const unreached = (seq: number, lastSeq: number): Finding => ({
  ...{ kind: 'unverified', uuid: null, cursor: null },
  problem: `the table stands still at event ${seq} of ${lastSeq}: rows, images and pictures of what comes after it were not looked at`,
  remedy: 'faafo projector or, where one runs, see faafo replay doctor; verify again once the table is there',
})

/** Why the log could not be read to its end. */
export function unsound(error: FaafoError): Finding {
  const { seq, eventId } = error.details
  return {
    kind: 'log-unsound',
    uuid: null,
    cursor: cursorText(Number(seq), typeof eventId === 'string' ? eventId : null),
    problem: error.message,
    remedy: 'put the right store folder of the broker back; the table was not compared',
  }
}

/** An event that this program cannot read or store, and about which nobody decided: the projector halts there. */
export const unreadable = (cursor: string, problem: string): Finding => ({
  kind: 'event-unreadable',
  uuid: null,
  cursor,
  problem: `${problem}; a newer version of this program may know it, and until then everything else can go on without it`,
  remedy: `faafo replay park event ${cursor}`,
})

/** An event that is parked; without an error: this program can read it. */
export const stillParked = (cursor: string, error?: string): Finding => ({
  kind: 'event-parked',
  uuid: null,
  cursor,
  problem:
    error === undefined
      ? 'it is parked and its fractal held back, although this version can read it'
      : `it is parked and its fractal held back: ${error}; a newer version may apply it, or faafo replay park drop ${cursor} gives it up`,
  remedy: `faafo replay park retry ${cursor}`,
})

/** An event that this program cannot handle, and the served tables have all the same. */
export const appliedElsewhere = (cursor: string, error: string): Finding => ({
  kind: 'unverified',
  uuid: null,
  cursor,
  problem: `${error}; a newer version applied it to the table, so that its fractal cannot be compared here`,
  remedy: 'verify with that version of the program',
})

export const cursorText = (seq: number, id: string | null) => (id ? cursorOf({ seq, id }) : String(seq))

export const imageFinding = (kind: 'image-missing' | 'image-damaged', { uuid, imageKey }: FractalRow): Finding => ({
  ...{ kind, uuid, cursor: null },
  problem: `image ${imageKey} ${kind === 'image-missing' ? 'is not in storage' : 'is not what its checksum says'}`,
  remedy: `faafo retry ${uuid}`,
})

/** Where no image at all is found, somebody looks in the wrong place. */
export const elsewhere = (count: number): Finding => ({
  ...{ kind: 'image-missing', uuid: null, cursor: null },
  problem: `none of the ${count} images is in storage`,
  remedy: 'set STORAGE_URL to that of the workers; where it is, retry each of these',
})

export const pictureFinding = ({ uuid, pixelChecksum, kernelVersion }: FractalRow, drawn: string): Finding => ({
  ...{ kind: 'picture-differs', uuid, cursor: null },
  problem: `its pixels were ${pixelChecksum} (kernel ${kernelVersion}), drawn again they are ${drawn}`,
  remedy: `compare the images of both kernels: one of them is wrong`,
})
