import type { Writable } from 'node:stream'
import { SingleBar } from 'cli-progress'
import type { FractalObject } from './client.ts'
import { isFinished } from './watch.ts'

/** `share`: of the work that is done, 0 to 1. `over`: nothing more will happen. */
export type Progress = { share: number; over: boolean; text: string }

export type ProgressReport = {
  update(progress: Progress): void
  /** Ends the bar and gives the terminal its cursor back. */
  stop(): void
}

/** Without a terminal: when the first line comes, and how often one after it. */
const FIRST_LINE_MS = 1_000
const LINE_EVERY_MS = 5_000

/** Of that work: a bar on a terminal that can move its cursor (`term` is its TERM); elsewhere a line now and then. */
export const createProgressReport = (
  stderr: Writable & { isTTY?: boolean },
  term?: string,
  work = 'rendering',
): ProgressReport => (stderr.isTTY && term !== 'dumb' ? barReport(stderr, work) : lineReport(stderr, work))

/** Of all the fractals that are waited for; `removed` more were deleted meanwhile. */
export function summaryOf(fractals: readonly FractalObject[], removed: number): Progress {
  const total = fractals.length + removed
  const finished = fractals.filter(isFinished).length
  const failed = fractals.filter(({ status }) => status === 'failed').length
  const done = fractals.reduce((sum, f) => sum + (isFinished(f) ? 1 : (f.progress ?? 0)), removed)
  const text = `${finished} of ${total} finished${failed > 0 ? `, ${failed} failed` : ''}${removed > 0 ? `, ${removed} deleted` : ''}`
  return { share: total === 0 ? 1 : done / total, over: finished === fractals.length, text }
}

function barReport(stderr: Writable, work: string): ProgressReport {
  const bar = new SingleBar({
    stream: stderr as NodeJS.WritableStream,
    format: `${work} [{bar}] {percentage} % | {text} | {duration_formatted}`,
    barCompleteChar: '#',
    barIncompleteChar: '.',
    hideCursor: true,
    gracefulExit: false,
  })
  bar.start(1000, 0, { text: 'requested' })
  return {
    update({ share, text }) {
      bar.update(Math.floor(share * 1000), { text })
    },
    stop: () => bar.stop(),
  }
}

function lineReport(stderr: Writable, work: string): ProgressReport {
  let sayAt = Date.now() + FIRST_LINE_MS
  let said = ''
  return {
    update({ share, over, text }) {
      const line = `${work}: ${Math.floor(share * 100)} %, ${text}`
      if (line === said || (!over && Date.now() < sayAt)) return
      sayAt = Date.now() + LINE_EVERY_MS
      said = line
      stderr.write(`${line}\n`)
    },
    stop() {},
  }
}
