import { FaafoError } from '../../events/errors.ts'
import { importIdOf } from '../../events/import.ts'
import { slotBefore } from '../../events/subjects.ts'
import { walk } from '../platform/slots.ts'
import { type Line, readLines } from './export-folder.ts'
import type { Manifest } from './export-format.ts'
import type { ImportLog } from './import-log.ts'
import { interrupted, throughOutages } from './outages.ts'

/**
 * A slot that is not to be filled, and whose fractal stays as it is here: another event has it; a fractal that it
 * deletes was retried here, or one that it retries was deleted; or what comes before it is not here (`inLog` is null).
 */
export type Conflict = {
  fractal: string
  /** Of the export, from 1. */
  line: number
  slot: string
  /** Ids of the events. */
  inExport: string
  inLog: string | null
}

export type ImportPlan = {
  /** Whether the event of that line is in the log already. */
  isThere(number: number): boolean
  there: number
  /** The first of each fractal. */
  conflicts: Map<string, Conflict>
  /** Fractals that the export leaves without an outcome. */
  unfinished: number
}

/** Looks that are on their way at the same time. */
const LOOKS = 64

/** The third part of every slot. */
export const fractalOf = ({ slot }: Pick<Line, 'slot'>): string => slot.split('.')[2] ?? ''

export const eventIdOf = ({ event }: Pick<Line, 'event'>): string => String(event.id ?? '')

export const conflictOf = (line: Line, inLog: string | null): Conflict => ({
  fractal: fractalOf(line),
  line: line.number,
  slot: line.slot,
  inExport: eventIdOf(line),
  inLog,
})

/**
 * Reads a whole export and looks which of its events the log has, and whether other events stand in their way. Remembers
 * a bit for each line, and the fractals that are without an outcome. Throws `export-unusable`, also where it goes on with
 * fractals of which the log has nothing: what came before could never be put before it; `log-unavailable`, `aborted`.
 */
export async function planImport(
  { broker, log, isEmpty }: Pick<ImportLog, 'broker' | 'log' | 'isEmpty'>,
  dir: string,
  manifest: Manifest,
  { signal, onLines }: { signal: AbortSignal; onLines: (lines: readonly Line[]) => void },
): Promise<ImportPlan> {
  const there = new Uint8Array(Math.ceil((manifest.events + 1) / 8))
  const conflicts = new Map<string, Conflict>()
  const open: Open = new Map()
  /** By slot: the first line in conflict, unless the export has an event there: any or, if it says one, `inLog`. */
  const doubtful = new Map<string, Conflict>()
  const isWhole = manifest.since === null
  const importId = importIdOf(manifest.log)
  let count = 0

  const read = async (slot: string) =>
    isEmpty ? null : throughOutages(signal, () => log.read(broker.names.inNamespace(slot)))

  /** What shows that a fractal which that line deletes was retried here, or one that it retries was deleted. */
  async function rivalOf({ slot }: Line): Promise<{ slot: string; id: string } | null> {
    const [, kind, fractal, generation] = slot.split('.')
    const held = async (slot: string) => {
      const holder = await read(slot)
      return holder && { ...holder, slot }
    }
    let rival = null
    if (kind === 'removed') {
      rival = (await walk((n) => held(`fractal.requested.${fractal}.${n + 1}`))).at(-1)
    } else if (kind === 'requested' && generation !== '1') {
      rival = await held(`fractal.removed.${fractal}`)
    }
    return rival && rival.importId !== importId ? rival : null // else it came from the same log
  }

  async function look({ line, before }: Looked): Promise<void> {
    const holder = await read(line.slot)
    if (!holder) {
      if (before !== null && !(await read(before))) keepFirst(doubtful, before, conflictOf(line, null))
      const rival = await rivalOf(line)
      if (rival) keepFirst(doubtful, rival.slot, conflictOf(line, rival.id))
      return
    }
    if (holder.id === eventIdOf(line)) {
      there[line.number >> 3] = (there[line.number >> 3] ?? 0) | (1 << (line.number & 7))
      count++
      return
    }
    keepFirst(conflicts, fractalOf(line), conflictOf(line, holder.id))
  }

  for await (const lines of readLines(dir, manifest)) {
    const queue = lines
      .map((line): Looked => {
        const before = isWhole ? null : filledBefore(line)
        const isNear = before !== null && isOpen(open, before)
        follow(open, line.slot)
        return { line, before: isNear ? null : before }
      })
      .values()
    const lane = async () => {
      for (const line of queue) await look(line)
    }
    if (!isEmpty || !isWhole) await Promise.all(Array.from({ length: LOOKS }, lane))
    onLines(lines)
  }
  if (doubtful.size > 0) await strikeThoseIn(dir, manifest, doubtful, signal)
  for (const conflict of [...doubtful.values()].sort((a, b) => a.line - b.line)) {
    const { fractal } = conflict
    if (conflicts.has(fractal)) continue
    if (!(await read(`fractal.requested.${fractal}.1`))) throw cannotGoOn(dir, manifest, conflict)
    conflicts.set(fractal, conflict)
  }
  for (const fractal of conflicts.keys()) open.delete(fractal)
  return {
    isThere: (number) => ((there[number >> 3] ?? 0) & (1 << (number & 7))) !== 0,
    there: count,
    conflicts,
    unfinished: open.size,
  }
}

/** A line, and the slot to be filled before it where no line shortly before fills that. */
type Looked = { line: Line; before: string | null }

function keepFirst(of: Map<string, Conflict>, key: string, conflict: Conflict): void {
  const known = of.get(key)
  if (!known || known.line > conflict.line) of.set(key, conflict)
}

/** Reads the export once more, rather than to remember all that is in it. */
async function strikeThoseIn(dir: string, manifest: Manifest, doubtful: Map<string, Conflict>, signal: AbortSignal) {
  for await (const lines of readLines(dir, manifest)) {
    if (signal.aborted) throw interrupted()
    for (const line of lines) {
      const inLog = doubtful.get(line.slot)?.inLog
      if (inLog === null || inLog === eventIdOf(line)) doubtful.delete(line.slot)
    }
  }
}

const cannotGoOn = (dir: string, { since }: Manifest, { fractal, line }: Conflict) =>
  new FaafoError(
    'export-unusable',
    `cannot import ${dir}: line ${line} goes on with fractal '${fractal}', of which this log has nothing; import what is before ${since} first`,
    { details: { line, fractal } },
  )

/** The slot that was filled before this line's: of an image the start that made it, where the event says which. */
function filledBefore({ slot, event: { type, data } }: Line): string | null {
  if (type !== 'TaskCompleted' || typeof data !== 'object' || data === null || !('started' in data)) {
    return slotBefore(slot)
  }
  return `${slot.replace('.outcome.', '.attempt.')}.${data.started}`
}

/** The newest generation of each fractal for as long as it is without an outcome, and the last of its attempts. */
type Open = Map<string, { generation: string; entry: number }>

/** Whether that is the request, or an attempt, of a fractal that is open. */
function isOpen(open: Open, slot: string): boolean {
  const [, kind, fractal = '', generation, entry = 0] = slot.split('.')
  const last = open.get(fractal)
  if (!last || last.generation !== generation) return false
  return kind === 'requested' || (kind === 'attempt' && Number(entry) <= last.entry)
}

function follow(open: Open, slot: string): void {
  const [, kind, fractal = '', generation = '', entry] = slot.split('.')
  const isNewest = open.get(fractal)?.generation === generation
  if (kind === 'requested') open.set(fractal, { generation, entry: 0 })
  else if (kind === 'attempt' && isNewest) open.set(fractal, { generation, entry: Number(entry) })
  else if (kind === 'removed' || (kind === 'outcome' && isNewest)) open.delete(fractal)
}
