import { isFaafoError } from '../../events/errors.ts'
import type { Names } from '../../events/subjects.ts'
import type { LogMessages } from '../platform/log-messages.ts'
import { type Line, readLines } from './export-folder.ts'
import type { Manifest } from './export-format.ts'
import { throughOutages } from './outages.ts'

/** A slot that another event has here: its fractal stays as it is here. */
export type Conflict = {
  fractal: string
  /** Of the export, from 1. */
  line: number
  slot: string
  /** Ids of the events. */
  inExport: string
  inLog: string
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

export const conflictOf = (line: Line, inLog: string): Conflict => ({
  fractal: fractalOf(line),
  line: line.number,
  slot: line.slot,
  inExport: eventIdOf(line),
  inLog,
})

/**
 * Reads a whole export and looks which of its events the log has, and whether other events stand in their way. Remembers
 * a bit for each line, and the fractals that are without an outcome. Throws `export-unusable`, `log-unavailable`, `aborted`.
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
  const isEmpty = await throughOutages(signal, () => isNothingIn(log))
  let count = 0

  async function look(line: Line): Promise<void> {
    const holder = await throughOutages(signal, () => log.read(names.inNamespace(line.slot)))
    if (!holder) return
    if (holder.id === eventIdOf(line)) {
      there[line.number >> 3] = (there[line.number >> 3] ?? 0) | (1 << (line.number & 7))
      count++
      return
    }
    const known = conflicts.get(fractalOf(line))
    if (!known || known.line > line.number) conflicts.set(fractalOf(line), conflictOf(line, holder.id))
  }

  for await (const lines of readLines(dir, manifest)) {
    for (const { slot } of lines) follow(open, slot)
    const queue = lines.values()
    const lane = async () => {
      for (const line of queue) await look(line)
    }
    if (!isEmpty) await Promise.all(Array.from({ length: LOOKS }, lane))
    onLines(lines)
  }
  for (const fractal of conflicts.keys()) open.delete(fractal)
  return {
    isThere: (number) => ((there[number >> 3] ?? 0) & (1 << (number & 7))) !== 0,
    there: count,
    conflicts,
    unfinished: open.size,
  }
}

/** So, too, where there is no stream yet: only a dry run comes to that. */
async function isNothingIn(log: LogMessages): Promise<boolean> {
  try {
    return (await log.head()).lastSeq === 0
  } catch (error) {
    if (isFaafoError(error, 'log-unavailable') && error.details.missing !== undefined) return true
    throw error
  }
}

/** Keeps the newest generation of each fractal for as long as it is without an outcome. */
function follow(open: Map<string, string>, slot: string): void {
  const [, kind, fractal = '', generation = ''] = slot.split('.')
  if (kind === 'requested') open.set(fractal, generation)
  else if (kind === 'removed' || (kind === 'outcome' && open.get(fractal) === generation)) open.delete(fractal)
}
