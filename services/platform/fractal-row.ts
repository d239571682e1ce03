import { Buffer } from 'node:buffer'
import { getTableColumns } from 'drizzle-orm'
import type { Fractal, Status } from '../../events/task.ts'
import type { ColumnsFrom } from './copy-rows.ts'
import { type FractalRow, fractal } from './schema.ts'

/** A state as it is kept: of a fractal that was removed, the last one it had. */
export type Version = Omit<Fractal, 'status'> & { status: Status | 'deleted' }

/** What stands in each column of a fractal's row, from its state. */
export const columnsOfRow: ColumnsFrom<Version, FractalRow> = {
  uuid: ({ uuid }) => uuid,
  status: ({ status }) => status,
  checksum: ({ image }) => image?.checksum ?? null,
  url: ({ uuid, image }) => (image ? imageUrl(uuid) : null),
  duration: ({ image }) => image?.duration ?? null,
  size: ({ image }) => image?.size ?? null,
  width: ({ params }) => params.width,
  height: ({ params }) => params.height,
  iterations: ({ params }) => params.iterations,
  xa: ({ params }) => params.xa,
  xb: ({ params }) => params.xb,
  ya: ({ params }) => params.ya,
  yb: ({ params }) => params.yb,
  cx: ({ params }) => params.cx,
  cy: ({ params }) => params.cy,
  generatedBy: ({ image }) => textOf(image?.generatedBy),
  pixelChecksum: ({ image }) => image?.pixelChecksum ?? null,
  imageKey: ({ image }) => image?.imageKey ?? null,
  kernelVersion: ({ image }) => image?.kernelVersion ?? null,
  chosen: ({ chosen }) => chosen.join(','),
  requestHash: ({ requestHash }) => requestHash,
  generation: ({ generation }) => generation,
  attempts: ({ attempts }) => attempts,
  entry: ({ entry }) => entry,
  unended: ({ unended }) => unended.join(','),
  errorCode: ({ error }) => textOf(error?.code),
  errorMessage: ({ error }) => textOf(error?.message),
  errorVersion: ({ error }) => textOf(error?.version),
  requestedAt: ({ requestedAt }) => requestedAt,
  startedAt: ({ startedAt }) => startedAt,
  finishedAt: ({ finishedAt }) => finishedAt,
  updatedAt: ({ updatedAt }) => updatedAt,
  firstSeq: ({ first }) => first.seq,
  firstId: ({ first }) => first.id,
  lastSeq: ({ last }) => last.seq,
  lastId: ({ last }) => last.id,
}

const columns = Object.entries(getTableColumns(fractal)).map(([field, { dataType }]) => ({
  field,
  isTime: dataType === 'date',
  from: columnsOfRow[field as keyof FractalRow],
}))

/** The row in which a fractal stands in the read model. */
export function rowOf(task: Version): FractalRow {
  const row: Record<string, unknown> = {}
  for (const { field, isTime, from } of columns) {
    const value = from(task)
    row[field] = isTime && value !== null ? new Date(value) : value
  }
  return row as FractalRow
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
