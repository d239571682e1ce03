import { Buffer } from 'node:buffer'
import type { Fractal, Status } from '../../events/task.ts'
import type { FractalRow } from './schema.ts'

/** A state as it is kept: of a fractal that was removed, the last one it had. */
export type Version = Omit<Fractal, 'status'> & { status: Status | 'deleted' }

/** The row in which a fractal stands in the read model. */
export function rowOf(task: Version): FractalRow {
  const { image, params } = task
  return {
    uuid: task.uuid,
    status: task.status,
    checksum: image?.checksum ?? null,
    url: image ? imageUrl(task.uuid) : null,
    duration: image?.duration ?? null,
    size: image?.size ?? null,
    ...params,
    generatedBy: textOf(image?.generatedBy),
    pixelChecksum: image?.pixelChecksum ?? null,
    imageKey: image?.imageKey ?? null,
    kernelVersion: image?.kernelVersion ?? null,
    chosen: task.chosen.join(','),
    requestHash: task.requestHash,
    generation: task.generation,
    attempts: task.attempts,
    entry: task.entry,
    unended: task.unended.join(','),
    errorCode: textOf(task.error?.code),
    errorMessage: textOf(task.error?.message),
    errorVersion: textOf(task.error?.version),
    requestedAt: new Date(task.requestedAt),
    startedAt: dateOf(task.startedAt),
    finishedAt: dateOf(task.finishedAt),
    updatedAt: new Date(task.updatedAt),
    firstSeq: task.first.seq,
    firstId: task.first.id,
    lastSeq: task.last.seq,
    lastId: task.last.id,
  }
}

/** The inverse of `rowOf` (what `text` cannot hold apart): the state that the next event of that fractal meets. */
export function fractalOf(row: FractalRow): Fractal {
  const { width, height, iterations, xa, xb, ya, yb, cx, cy } = row
  return {
    status: row.status as Status,
    uuid: row.uuid,
    params: { width, height, iterations, xa, xb, ya, yb, cx, cy },
    chosen: row.chosen === '' ? [] : row.chosen.split(','),
    requestHash: row.requestHash,
    generation: row.generation,
    attempts: row.attempts,
    image:
      row.checksum === null
        ? null
        : {
            checksum: row.checksum,
            pixelChecksum: row.pixelChecksum ?? '',
            size: row.size ?? 0,
            duration: row.duration ?? 0,
            generatedBy: row.generatedBy ?? '',
            imageKey: row.imageKey ?? '',
            kernelVersion: row.kernelVersion ?? '',
          },
    error:
      row.errorCode === null
        ? null
        : {
            code: row.errorCode,
            message: row.errorMessage ?? '',
            ...(row.errorVersion !== null && { version: row.errorVersion }),
          },
    requestedAt: row.requestedAt.getTime(),
    startedAt: row.startedAt?.getTime() ?? null,
    finishedAt: row.finishedAt?.getTime() ?? null,
    updatedAt: row.updatedAt.getTime(),
    first: { seq: row.firstSeq, id: row.firstId },
    last: { seq: row.lastSeq, id: row.lastId },
    entry: row.entry,
    unended: row.unended === '' ? [] : row.unended.split(',').map(Number),
  }
}

/** Where the api serves the finished image, relative to its own address. */
export const imageUrl = (uuid: string): string => `/fractal/${uuid}`

/** What PostgreSQL's `text` can hold of a string: no NUL, no half of a surrogate pair. Workers' words may have both. */
export function textOf(text: string | undefined): string | null {
  if (text === undefined) return null
  return UNSTORABLE.test(text) ? Buffer.from(text.replaceAll('\0', '')).toString() : text
}

const UNSTORABLE = /[\0\ud800-\udfff]/

const dateOf = (ms: number | null) => (ms === null ? null : new Date(ms))
