import { setImmediate } from 'node:timers/promises'
import { and, type SQL, sql } from 'drizzle-orm'
import type { RecordedEvent } from '../../events/events.ts'
import { evolve, type Fractal, isFinished, isFractal, type Task, unknown } from '../../events/task.ts'
import type { BulkLoader, Loading } from '../platform/bulk-loader.ts'
import { rowEncoder } from '../platform/copy-rows.ts'
import type { Db } from '../platform/database.ts'
import { columnsOfRow, fractalOf, type Version } from '../platform/fractal-row.ts'
import { type LogPosition, positionAfter } from '../platform/log-reader.ts'
import { checkpoint, type HeldRow } from '../platform/schema.ts'
import { type Copy, fenceLost, fenceOf, isAmong, putInHeld, putInTable, uuidsOfRows } from './apply-batch.ts'
import type { Prepare } from './fold-log.ts'
import { noExceptions, sift } from './held-events.ts'
import { onCopy } from './model-statements.ts'
import { type Observer, versionOf } from './project.ts'

/** Fractals that are kept in memory: those that came last of those that are not finished, of which more events are to come. */
const KEPT = 15_000
/** What goes into the tables beside the versions: events that are held back. */
type Gathered = { held: HeldRow[]; events: number }
const nothing = (): Gathered => ({ held: [], events: 0 })
/** Events, or a few more, of which all goes into the tables in one transaction: each has its costs. */
const AT_ONCE = 5_000

type BulkFold = {
  prepare: Prepare
  settle(position: LogPosition): Promise<void>
  finish(position: LogPosition): Promise<void>
  /** Resolves once nothing is on its way any more, whatever became of it. */
  idle(): Promise<void>
}

/**
 * Folds the log into a copy that nobody reads yet, by COPY. Rows are added and never changed: that of a fractal is written
 * once it is finished or many came after it, and taken out again where another event comes, so that there are fewer than
 * the checkpoint says until `finish`. Batches are gathered, so that the checkpoint may be behind what was written until `settle`. For a copy
 * that is dropped should anything fail.
 */
export function bulkFold(db: Db, copy: Copy, loader: BulkLoader, { kept = KEPT, atOnce = AT_ONCE } = {}): BulkFold {
  const { model } = copy
  /** In the order in which they came. */
  const states = new Map<string, Task>()
  let gathered = nothing()
  /** Where the checkpoint is, or will be once `loading` is done. */
  let checkpointAt: LogPosition | undefined
  let loading: Promise<void> = Promise.resolve()
  const tables = [model.table, model.versions, model.held]
  const encoder = rowEncoder<Version, typeof model.versions>(model.versions, columnsOfRow)

  /** Those that are let go, so that `most` are left at most. */
  function letGoOf(most: number): Fractal[] {
    const gone: Fractal[] = []
    for (const [uuid, task] of states) {
      if (isFractal(task) && !isFinished(task.status)) continue
      states.delete(uuid)
      if (isFractal(task)) gone.push(task)
    }
    for (const [uuid, task] of states) {
      if (states.size <= most) break
      states.delete(uuid)
      if (isFractal(task)) gone.push(task)
    }
    return gone
  }

  /** As `project` does it, one by one, without a list of what there is to add. */
  function apply(event: RecordedEvent, observe: Observer | undefined): void {
    const before = states.get(event.fractal) ?? unknown
    observe?.(before, event)
    const after = evolve(before, event)
    if (after === before) return
    states.set(event.fractal, after)
    const version = versionOf(before, after, event)
    if (version) encoder.add(version)
  }

  /**
   * Sends everything that was gathered, and the fractals that are let go so that `most` are left, which is settled at once: whatever is
   * prepared from now on meets what is left. Resolves once what was sent before it is there.
   */
  function send(from: LogPosition, to: LogPosition, most: number): Promise<void> {
    const { held } = gathered
    const rows = encoder.take()
    const current = letGoOf(most)
    const afterwards: SQL[] = []
    if (current.length > 0) afterwards.push(putInTable(model, current))
    if (held.length > 0) afterwards.push(putInHeld(model, held))
    const at = checkpointAt ?? from
    const last = loading
    gathered = nothing()
    checkpointAt = to
    loading = last.then(() =>
      load({ tables, fence: fenceOf(copy, at, to), into: model.versions, rows, afterwards }, at),
    )
    loading.catch(() => {}) // thrown once it is awaited
    return last
  }

  async function load(loading: Loading, at: LogPosition): Promise<void> {
    if (!(await onCopy('load rows', () => loader.load(loading)))) throw fenceLost(at)
  }

  return {
    async prepare(events, { observe, exceptions = noExceptions }) {
      const { applied, held } = sift(events, exceptions)
      const away = uuidsOfRows(applied, states)
      if (away.length > 0) {
        await loading // they may be on their way there
        for (const task of await takeOut(db, copy, away)) states.set(task.uuid, task)
      }
      for (const event of applied) apply(event, observe)
      await setImmediate() // the rows that were sent before are on their way, a piece with each turn of the event loop
      gathered.held.push(...held)
      gathered.events += events.length
      return async (from) => {
        const last = events.at(-1)
        const to = last ? positionAfter(from, last) : from
        checkpointAt ??= from
        if (gathered.events >= atOnce) await send(from, to, kept)
        return to
      }
    },
    async settle(position) {
      if (gathered.events > 0) await send(position, position, kept)
      await loading
      checkpointAt = undefined // it may be moved elsewhere
    },
    async finish(position) {
      await send(position, position, 0)
      await loading
    },
    idle: () => loading.catch(() => {}),
  }
}

/** What rows say, which are deleted. None where another copy is in its place. */
async function takeOut(db: Db, { model, epoch }: Copy, uuids: string[]): Promise<Fractal[]> {
  const isThere = sql`exists (select from ${checkpoint} where projection = ${model.projection} and epoch = ${epoch})`
  const rows = await onCopy('take rows out', () =>
    db
      .delete(model.table)
      .where(and(isAmong(model, uuids), isThere))
      .returning(),
  )
  return rows.map(fractalOf)
}
