import { eq } from 'drizzle-orm'
import type { RecordedEvent } from '../../events/events.ts'
import { evolve, type Fractal, isFractal, type Task, unknown } from '../../events/task.ts'
import { type Db, querying } from '../../services/platform/database.ts'
import { rowOf } from '../../services/platform/fractal-row.ts'
import { readLog, startOfLog, verifyPosition } from '../../services/platform/log-reader.ts'
import { liveModel } from '../../services/platform/read-model.ts'
import { checkpoint, type FractalRow, fractal, fractalVersion } from '../../services/platform/schema.ts'
import { positionOf } from '../../services/projector/checkpoint.ts'
import type { ProjectorParts } from '../../services/projector/fold-log.ts'

export type Difference = {
  uuid: string
  /** Sequence of the event that led to it; null: the current row. */
  version: number | null
  inTable: FractalRow | null
  inLog: FractalRow | null
  /** Columns in which they differ; none where one of them is missing. */
  fields: string[]
}

/**
 * The naive way, as what the product does is held to it: folds the log in memory up to the table's checkpoint, and compares it with the tables row by row, as both were at
 * one moment. All fractals are held in memory. Throws `log-replaced` where the checkpoint is not of this log,
 * `undecodable-event`, `log-unavailable`, `database-unavailable`.
 */
export async function compareWithLog(
  { db, broker, log, logger }: ProjectorParts,
  signal: AbortSignal = new AbortController().signal,
): Promise<{ seq: number; fractals: number; differences: Difference[] }> {
  const { position, rows, kept } = await snapshot(db)
  await verifyPosition(log, position)
  const tasks = new Map<string, Task>()
  const versions = new Map<number, FractalRow>()
  if (position.seq > 0) {
    const done = new AbortController()
    const reading = { from: startOfLog, signal: AbortSignal.any([signal, done.signal]) }
    for await (const batch of readLog({ broker, log, logger }, reading)) {
      for (const event of batch) {
        if (event.seq > position.seq) continue
        const before = tasks.get(event.fractal) ?? unknown
        const after = evolve(before, event)
        tasks.set(event.fractal, after)
        if (isFractal(after) && after !== before) versions.set(event.seq, rowOf(after))
        if (after.status === 'deleted' && isFractal(before)) versions.set(event.seq, lastOf(before, event))
      }
      if ((batch.at(-1)?.seq ?? 0) >= position.seq) done.abort()
    }
  }
  const inTable = new Map(rows.map((row) => [row.uuid, row]))
  const differences: Difference[] = []
  for (const row of kept) {
    const { uuid, lastSeq: version } = row
    const mine = versions.get(version) ?? null
    versions.delete(version)
    const fields = mine ? unequal(mine, row) : []
    if (!mine || fields.length > 0) differences.push({ uuid, version, inTable: row, inLog: mine, fields })
  }
  for (const [version, row] of versions) {
    differences.push({ uuid: row.uuid, version, inTable: null, inLog: row, fields: [] })
  }
  let fractals = 0
  for (const [uuid, task] of tasks) {
    const mine = isFractal(task) ? rowOf(task) : null
    const theirs = inTable.get(uuid) ?? null
    inTable.delete(uuid)
    if (mine) fractals++
    const fields = mine && theirs ? unequal(mine, theirs) : []
    if (fields.length > 0 || (mine === null) !== (theirs === null)) {
      differences.push({ uuid, version: null, inTable: theirs, inLog: mine, fields })
    }
  }
  for (const [uuid, row] of inTable) differences.push({ uuid, version: null, inTable: row, inLog: null, fields: [] })
  return { seq: position.seq, fractals, differences }
}

/** The tables and the checkpoint that they are at. */
const snapshot = (db: Db) =>
  querying('read the table', () =>
    db.transaction(
      async (tx) => {
        const [row] = await tx.select().from(checkpoint).where(eq(checkpoint.projection, liveModel.projection))
        const [rows, kept] = [await tx.select().from(fractal), await tx.select().from(fractalVersion)]
        return { position: row ? positionOf(row) : startOfLog, rows, kept }
      },
      { isolationLevel: 'repeatable read', accessMode: 'read only' },
    ),
  )

const lastOf = (before: Fractal, { seq, id, recordedAt }: RecordedEvent): FractalRow => ({
  ...rowOf(before),
  ...{ status: 'deleted', lastSeq: seq, lastId: id, updatedAt: new Date(recordedAt) },
})

const unequal = (a: FractalRow, b: FractalRow): string[] =>
  (Object.keys(a) as (keyof FractalRow)[]).filter((field) => a[field]?.valueOf() !== b[field]?.valueOf())
