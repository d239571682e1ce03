import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { type Names, slotBefore } from '../../events/subjects.ts'
import type { LogMessages } from '../platform/log-messages.ts'
import { type Line, readLines } from './export-folder.ts'
import type { Manifest } from './export-format.ts'
import { interrupted, throughOutages } from './outages.ts'

/**
 * A slot that another event has here, or (`inLog` is null) one that is not to be filled because what comes before it is
 * not here: its fractal stays as it is here.
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
  { log, names }: { log: LogMessages; names: Names },
  dir: string,
  manifest: Manifest,
  { signal, onLines }: { signal: AbortSignal; onLines: (lines: readonly Line[]) => void },
): Promise<ImportPlan> {
  const there = new Uint8Array(Math.ceil((manifest.events + 1) / 8))
  const conflicts = new Map<string, Conflict>()
  const open = new Map<string, string>()
  /** By slot: the first line that stands after what neither the log has nor, as far as is known, the export before it. */
  const lacking = new Map<string, Conflict>()
  const isEmpty = await throughOutages(signal, () => isNothingIn(log))
  const isWhole = manifest.since === null
  let count = 0

  const read = async (slot: string) =>
    isEmpty ? null : throughOutages(signal, () => log.read(names.inNamespace(slot)))

  async function look({ line, before }: Looked): Promise<void> {
    const holder = await read(line.slot)
    if (!holder) {
      if (before !== null && !(await read(before))) keepFirst(lacking, before, conflictOf(line, null))
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
        const before = isWhole ? null : slotBefore(line.slot)
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
  if (lacking.size > 0) await strikeThoseIn(dir, manifest, lacking, signal)
  for (const conflict of [...lacking.values()].sort((a, b) => a.line - b.line)) {
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
async function strikeThoseIn(dir: string, manifest: Manifest, lacking: Map<string, Conflict>, signal: AbortSignal) {
  for await (const lines of readLines(dir, manifest)) {
    if (signal.aborted) throw interrupted()
    for (const { slot } of lines) lacking.delete(slot)
  }
}

const cannotGoOn = (dir: string, { since }: Manifest, { fractal, line }: Conflict) =>
  new FaafoError(
    'export-unusable',
    `cannot import ${dir}: line ${line} goes on with fractal '${fractal}', of which this log has nothing; import what is before ${since} first`,
    { details: { line, fractal } },
  )

/** So, too, where there is no stream yet: only a dry run comes to that. */
async function isNothingIn(log: LogMessages): Promise<boolean> {
  try {
    return (await log.head()).lastSeq === 0
  } catch (error) {
    if (isFaafoError(error, 'log-unavailable') && error.details.missing !== undefined) return true
    throw error
  }
}

/** Whether that is the request of a fractal that is open. */
function isOpen(open: ReadonlyMap<string, string>, slot: string): boolean {
  const [, kind, fractal = '', generation] = slot.split('.')
  return kind === 'requested' && open.get(fractal) === generation
}

/** Keeps the newest generation of each fractal for as long as it is without an outcome. */
function follow(open: Map<string, string>, slot: string): void {
  const [, kind, fractal = '', generation = ''] = slot.split('.')
  if (kind === 'requested') open.set(fractal, generation)
  else if (kind === 'removed' || (kind === 'outcome' && open.get(fractal) === generation)) open.delete(fractal)
}
