import { and, getTableColumns, sql } from 'drizzle-orm'
import type { FractalParams } from '../../events/fractal.ts'
import { type Fractal, isFractal, type Task } from '../../events/task.ts'
import type { BulkLoader } from '../platform/bulk-loader.ts'
import { copyText } from '../platform/copy-text.ts'
import type { Db } from '../platform/database.ts'
import { fractalOf, rowOf, type Version } from '../platform/fractal-row.ts'
import { type LogPosition, positionAfter } from '../platform/log-reader.ts'
import { checkpoint, type FractalRow, fractal, type HeldRow, heldEvent } from '../platform/schema.ts'
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
      { into: model.table, fields: FIELDS, text: current },
      { into: model.versions, fields: FIELDS, text: versions },
      { into: model.held, fields: HELD_FIELDS, text: held },
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
        current: letGoOf(kept).map(lineOf).join(''),
        versions: changes.versions.map(({ state }) => lineOf(state)).join(''),
        held: held.map(lineOfHeld).join(''),
      }
      return (from) => {
        const last = events.at(-1)
        const written = load(from, last ? positionAfter(from, last) : from, rows)
        writing = written.catch(() => {})
        return written
      }
    },
    async finish(position) {
      await load(position, position, { current: letGoOf(0).map(lineOf).join(''), versions: '', held: '' })
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

/** Lines of COPY's text. */
type Rows = { current: string; versions: string; held: string }

const FIXED = [
  ...(['uuid', 'width', 'height', 'iterations', 'xa', 'xb', 'ya', 'yb', 'cx', 'cy'] as const),
  ...(['chosen', 'requestHash', 'requestedAt', 'firstSeq', 'firstId'] as const),
] satisfies (keyof FractalRow)[]
const CHANGING = (Object.keys(getTableColumns(fractal)) as (keyof FractalRow)[]).filter(
  (field) => !FIXED.some((fixed) => fixed === field),
)
const FIELDS = [...FIXED, ...CHANGING]
const HELD_FIELDS = Object.keys(getTableColumns(heldEvent)) as (keyof HeldRow)[]

/** The text of FIXED, which is the same for all states that have the same `params` (the object), and costs most: it has decimals. */
const fixedTexts = new WeakMap<FractalParams, string>()

function lineOf(task: Version): string {
  const row = rowOf(task)
  let fixed = fixedTexts.get(task.params)
  if (fixed === undefined) {
    fixed = textOf(row, FIXED)
    fixedTexts.set(task.params, fixed)
  }
  return `${fixed}\t${textOf(row, CHANGING)}\n`
}

const textOf = (row: FractalRow, fields: readonly (keyof FractalRow)[]) => copyText(fields.map((field) => row[field]))
const lineOfHeld = (row: HeldRow): string => `${copyText(HELD_FIELDS.map((field) => row[field]))}\n`
