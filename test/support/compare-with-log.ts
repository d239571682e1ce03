import { eq } from 'drizzle-orm'
import { evolve, isFractal, type Task, unknown } from '../../events/task.ts'
import { type Db, querying } from '../../services/platform/database.ts'
import { rowOf } from '../../services/platform/fractal-row.ts'
import { readLog, startOfLog, verifyPosition } from '../../services/platform/log-reader.ts'
import { liveModel } from '../../services/platform/read-model.ts'
import { checkpoint, type FractalRow, fractal } from '../../services/platform/schema.ts'
import { positionOf } from '../../services/projector/checkpoint.ts'
import type { ProjectorParts } from '../../services/projector/fold-log.ts'

export type Difference = {
  uuid: string
  inTable: FractalRow | null
  inLog: FractalRow | null
  /** Columns in which they differ; none where one of them is missing. */
  fields: string[]
}

/**
 * The naive way, as what the product does is held to it: folds the log in memory up to the table's checkpoint, and compares it with the table row by row, as both were at
 * one moment. All fractals are held in memory. Throws `log-replaced` where the checkpoint is not of this log,
 * `undecodable-event`, `log-unavailable`, `database-unavailable`.
 */
export async function compareWithLog(
  { db, broker, log, logger }: ProjectorParts,
  signal: AbortSignal = new AbortController().signal,
): Promise<{ seq: number; fractals: number; differences: Difference[] }> {
  const { position, rows } = await snapshot(db)
  await verifyPosition(log, position)
  const tasks = new Map<string, Task>()
  if (position.seq > 0) {
    const done = new AbortController()
    const reading = { from: startOfLog, signal: AbortSignal.any([signal, done.signal]) }
    for await (const batch of readLog({ broker, log, logger }, reading)) {
      for (const event of batch) {
        if (event.seq <= position.seq) tasks.set(event.fractal, evolve(tasks.get(event.fractal) ?? unknown, event))
      }
      if ((batch.at(-1)?.seq ?? 0) >= position.seq) done.abort()
    }
  }
  const inTable = new Map(rows.map((row) => [row.uuid, row]))
  const differences: Difference[] = []
  let fractals = 0
  for (const [uuid, task] of tasks) {
    const mine = isFractal(task) ? rowOf(task) : null
    const theirs = inTable.get(uuid) ?? null
    inTable.delete(uuid)
    if (mine) fractals++
    const fields = mine && theirs ? unequal(mine, theirs) : []
    if (fields.length > 0 || (mine === null) !== (theirs === null)) {
      differences.push({ uuid, inTable: theirs, inLog: mine, fields })
    }
  }
  for (const [uuid, row] of inTable) differences.push({ uuid, inTable: row, inLog: null, fields: [] })
  return { seq: position.seq, fractals, differences }
}

/** The table and the checkpoint that it is at. */
const snapshot = (db: Db) =>
  querying('read the table', () =>
    db.transaction(
      async (tx) => {
        const [row] = await tx.select().from(checkpoint).where(eq(checkpoint.projection, liveModel.projection))
        return { position: row ? positionOf(row) : startOfLog, rows: await tx.select().from(fractal) }
      },
      { isolationLevel: 'repeatable read', accessMode: 'read only' },
    ),
  )

const unequal = (a: FractalRow, b: FractalRow): string[] =>
  (Object.keys(a) as (keyof FractalRow)[]).filter((field) => a[field]?.valueOf() !== b[field]?.valueOf())
