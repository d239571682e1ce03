import { and, sql } from 'drizzle-orm'
import { type Fractal, isFractal, type Task } from '../../events/task.ts'
import type { BulkLoader } from '../platform/bulk-loader.ts'
import { rowEncoder } from '../platform/copy-rows.ts'
import type { Db } from '../platform/database.ts'
import { fractalOf, rowOf } from '../platform/fractal-row.ts'
import { type LogPosition, positionAfter } from '../platform/log-reader.ts'
import { checkpoint } from '../platform/schema.ts'
import { type Copy, fenceLost, fenceOf, isAmong, uuidsOfRows } from './apply-batch.ts'
import { onCopy } from './copies.ts'
import type { Prepare } from './fold-log.ts'
import { noExceptions, sift } from './held-events.ts'
import { project } from './project.ts'

/** Fractals that are kept in memory: those that the last events were about. */
const KEPT = 10_000

/**
 * Folds the log into a copy that nobody reads yet, by COPY. Rows are added and never changed: that of a fractal is written
 * once events have been about others for long, and taken out again where another event comes, so that there are fewer than
 * the checkpoint says until `finish`. For a copy that is dropped should anything fail.
 */
export function bulkFold(
  db: Db,
  copy: Copy,
  loader: BulkLoader,
  kept = KEPT,
): { prepare: Prepare; finish(position: LogPosition): Promise<void> } {
  const { model } = copy
  /** The last one that an event was about is the last. */
  const states = new Map<string, Task>()
  let writing: Promise<unknown> = Promise.resolve()
  const encode = {
    current: rowEncoder(model.table),
    versions: rowEncoder(model.versions),
    held: rowEncoder(model.held),
  }

  function keep(uuid: string, task: Task): void {
    states.delete(uuid)
    states.set(uuid, task)
  }

  /** Those that are let go, so that `most` are left. */
  function letGoOf(most: number): Fractal[] {
    const gone: Fractal[] = []
    for (const [uuid, task] of states) {
      if (states.size <= most) break
      states.delete(uuid)
      if (isFractal(task)) gone.push(task)
    }
    return gone
  }

  async function load(from: LogPosition, to: LogPosition, { current, versions, held }: Rows): Promise<LogPosition> {
    const loads = [
      { into: model.table, rows: current },
      { into: model.versions, rows: versions },
      { into: model.held, rows: held },
    ]
    const moved = await onCopy('load rows', () => loader.load(fenceOf(copy, from, to), loads))
    if (!moved) throw fenceLost(from)
    return to
  }

  return {
    async prepare(events, { observe, exceptions = noExceptions }) {
      const { applied, held } = sift(events, exceptions)
      const away = uuidsOfRows(applied).filter((uuid) => !states.has(uuid))
      if (away.length > 0) {
        await writing // they may be on their way there
        for (const task of await takeOut(db, copy, away)) keep(task.uuid, task)
      }
      const changes = project(states, applied, observe)
      for (const [uuid, task] of changes.states) keep(uuid, task)
      const rows = {
        current: encode.current(letGoOf(kept).map(rowOf)),
        versions: encode.versions(changes.versions.map(({ state }) => rowOf(state))),
        held: encode.held(held),
      }
      return (from) => {
        const last = events.at(-1)
        const written = load(from, last ? positionAfter(from, last) : from, rows)
        writing = written.catch(() => {})
        return written
      }
    },
    async finish(position) {
      const none = new Uint8Array()
      await load(position, position, { current: encode.current(letGoOf(0).map(rowOf)), versions: none, held: none })
    },
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

/** As COPY takes them. */
type Rows = { current: Uint8Array; versions: Uint8Array; held: Uint8Array }
