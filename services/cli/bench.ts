import { type Command, InvalidArgumentError } from 'commander'
import type { FractalParams } from '../../events/fractal.ts'
import { addOutputOption, type OutputOption } from './output.ts'
import { inSession, type Session, type Surroundings } from './session.ts'

/** A picture of both sorts of pixels: far outside, and close to the set. */
const PICTURE: FractalParams = {
  ...{ width: 1000, height: 1000, iterations: 362 },
  ...{ xa: -1.77, xb: 1.98, ya: -1.31, yb: 1.95, cx: -0.8, cy: 0.156 },
}

type BenchOptions = OutputOption & { seconds: number }

/** `ratio`: against one thread. */
type Row = { threads: number; pictures: number; seconds: number; pixels_per_second: number; ratio: number }

export function addBench(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('bench')
    .summary('measure how fast this machine draws')
    .description(
      `Draws a picture of ${PICTURE.width} x ${PICTURE.height} pixels again and again, files included but not written, with one thread and with more, up to one for each core. Needs no server.`,
    )
    .option('--seconds <n>', 'how long each number of threads is measured', parseSeconds, 2)
  addOutputOption(command)
    .addHelpText('after', '\nExamples:\n  $ faafo bench\n  $ faafo bench --seconds 10 --output json')
    .action((options: BenchOptions, self: Command) =>
      inSession(self, surroundings, (session) => bench(session, options)),
    )
}

async function bench({ signal, print, printJson }: Session, { seconds, output }: BenchOptions): Promise<void> {
  const { availableParallelism } = await import('node:os')
  const rows: Row[] = []
  for (const threads of threadCounts(availableParallelism())) {
    const measured = await measure(threads, seconds, signal)
    const pixelsPerSecond = (measured.pictures * PICTURE.width * PICTURE.height) / measured.seconds
    const ratio = pixelsPerSecond / (rows[0]?.pixels_per_second ?? pixelsPerSecond)
    rows.push({ threads, ...measured, pixels_per_second: pixelsPerSecond, ratio })
  }
  if (output === 'json') return printJson(rows)
  const { tableOf } = await import('./table.ts')
  await print(
    tableOf(
      ['Threads', 'Pixels per second', 'Against one'],
      rows.map((row) => [row.threads, `${(row.pixels_per_second / 1e6).toFixed(1)} million`, row.ratio.toFixed(2)]),
    ),
  )
}

/** 1, 2, 4 … and all of them. */
function threadCounts(all: number): number[] {
  const counts: number[] = []
  for (let threads = 1; threads < all; threads *= 2) counts.push(threads)
  return [...counts, all]
}

async function measure(threads: number, seconds: number, signal: AbortSignal) {
  const { createRenderPool } = await import('../worker/render-pool.ts')
  const pool = createRenderPool(threads)
  async function drawOne(): Promise<void> {
    const { chunks, stop } = await pool.render({ uuid: null, params: PICTURE }, signal)
    try {
      for await (const _ of chunks);
    } finally {
      stop()
    }
  }
  try {
    for (let warm = 0; warm < 2 * threads; warm++) await drawOne()
    const startedAt = performance.now()
    const elapsed = () => (performance.now() - startedAt) / 1000
    let pictures = 0
    async function drawOn(): Promise<void> {
      do {
        await drawOne()
        pictures++
      } while (elapsed() < seconds)
    }
    await Promise.all([drawOn(), drawOn()]) // so that no thread waits for the end of a picture
    return { pictures, seconds: elapsed() }
  } finally {
    await pool.close()
  }
}

function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (!(seconds > 0 && seconds <= 600)) throw new InvalidArgumentError('expected a number above 0, at most 600')
  return seconds
}
