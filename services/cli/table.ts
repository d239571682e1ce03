import Table from 'cli-table3'
import type { FractalObject } from './client.ts'

/** Lines between rows are taken out again: one under the head is enough. */
const FRAME = {
  top: '-',
  'top-mid': '+',
  'top-left': '+',
  'top-right': '+',
  bottom: '-',
  'bottom-mid': '+',
  'bottom-left': '+',
  'bottom-right': '+',
  left: '|',
  'left-mid': '+',
  mid: '-',
  'mid-mid': '+',
  right: '|',
  'right-mid': '+',
  middle: '|',
}

/**
 * A table framed in ASCII. Control characters in cells become blanks. Given a `width`, the last column is wrapped so
 * that the table is that wide, as far as the others leave room.
 */
export function tableOf(head: string[], rows: (string | number)[][], width?: number): string {
  const cells = rows.map((row) => row.map((cell) => String(cell).replace(/\p{Cc}/gu, ' ')))
  const wrapping = width === undefined ? {} : lastColumnWithin(width, [head, ...cells])
  const table = new Table({ head, chars: FRAME, style: { head: [], border: [] }, ...wrapping })
  table.push(...cells)
  const lines = table.toString().split('\n')
  return `${lines.filter((line, i) => !line.startsWith('+') || i === 0 || i === 2 || i === lines.length - 1).join('\n')}\n`
}

const NARROWEST = 20
/** A blank on either side. */
const PADDING = 2

function lastColumnWithin(width: number, rows: readonly string[][]) {
  const widthOf = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0)) + PADDING
  const columns = rows[0]?.length ?? 0
  const others = Array.from({ length: columns - 1 }, (_, column) => widthOf(column))
  const room = Math.max(NARROWEST, width - others.reduce((sum, one) => sum + one, columns + 1))
  const last = Math.min(room, widthOf(columns - 1))
  const words = rows.flatMap((row) => row.at(-1)?.split(/\s+/) ?? [])
  return {
    colWidths: [...others, last],
    wordWrap: true,
    // a longer word would be cut off
    wrapOnWordBoundary: words.every((word) => word.length + PADDING <= last),
  }
}

/** As the original program showed it; an unfinished fractal has its status in place of a size. */
export const fractalsTable = (fractals: readonly FractalObject[]): string =>
  tableOf(
    ['UUID', 'Dimensions', 'Filesize'],
    fractals.map((f) => [f.uuid, dimensions(f), f.size === null ? statusText(f) : `${f.size} bytes`]),
  )

/** The original program's rows in its order, then what it did not have. */
export function fractalTable(f: FractalObject): string {
  const rows: [string, string | number | null][] = [
    ['uuid', f.uuid],
    ['duration', f.duration === null ? null : `${f.duration.toFixed(6)} seconds`],
    ['dimensions', dimensions(f)],
    ['iterations', f.iterations],
    ['xa', f.xa],
    ['xb', f.xb],
    ['ya', f.ya],
    ['yb', f.yb],
    ['size', f.size === null ? null : `${f.size} bytes`],
    ['checksum', f.checksum],
    ['generated_by', f.generated_by],
    ['status', statusText(f)],
    ['cx', f.cx],
    ['cy', f.cy],
    ['attempts', f.attempts],
    ['generation', f.generation],
    ['created_at', f.created_at],
    ['started_at', f.started_at],
    ['finished_at', f.finished_at],
    ['pixel_checksum', f.pixel_checksum],
  ]
  if (f.error) rows.push(['error', `${f.error.code}: ${f.error.message}`])
  return tableOf(
    ['Parameter', 'Value'],
    rows.map(([name, value]) => [name, value ?? '-']),
  )
}

export const dimensions = ({ width, height }: Pick<FractalObject, 'width' | 'height'>) => `${width} x ${height} pixels`

const statusText = ({ status, progress }: FractalObject) =>
  status === 'rendering' && progress !== null ? `rendering (${Math.floor(progress * 100)} %)` : status
