import { availableParallelism } from 'node:os'
import type { Command } from 'commander'
import type { RenderJob } from '../kernel/description.ts'
import { addParameterOptions, type OptionValues, optionTexts, orUsageError } from './create.ts'
import { inSession, type Session, type Surroundings, usageError } from './session.ts'

const REPORT_EVERY_MS = 250

export function addRender(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('render')
    .summary('draw a picture here, without an api')
    .description(
      `Draws a picture on this machine, with all its cores. What is not given is drawn at random, between --min-X and --max-X.
The file stands under its name only once it is whole, and says what it shows: see faafo inspect.`,
    )
  addParameterOptions(command, 'tasks')
    .requiredOption('-o, --output-file <file>', 'where to write to; - for standard output')
    .addHelpText(
      'after',
      `
Examples:
  $ faafo render -o fractal.png                     a random one
  $ faafo render --width 4096 --height 4096 -o large.png
  $ faafo render --xa -1.5 --xb 1.5 --ya -1 --yb 1 --cx -0.8 --cy 0.156 -o - | display`,
    )
    .action((options: OptionValues, self: Command) =>
      inSession(self, surroundings, (session) => render(session, options)),
    )
}

async function render(session: Session, options: OptionValues): Promise<void> {
  const { 'output-file': file = '', ...texts } = optionTexts(options)
  if (file === '') throw usageError("cannot use --output-file '': expected a file, or - for standard output")
  const [{ chooseConstant }, { drawRequest, planOf }, { writeOutput }, { dimensions }] = await Promise.all([
    import('../kernel/constant.ts'),
    import('./random-request.ts'),
    import('./output-file.ts'),
    import('./table.ts'),
  ])
  const plan = orUsageError(() => planOf(texts, 'render a fractal'))
  const { cx, cy, ...rest } = drawRequest(plan, Math.random)
  const params = { ...rest, ...(cx === undefined || cy === undefined ? chooseConstant(rest, Math.random) : { cx, cy }) }
  let size = 0
  async function* drawn() {
    for await (const piece of draw(session, { uuid: null, params })) {
      size += piece.length
      yield piece
    }
  }
  if (file === '-') {
    for await (const piece of drawn()) await session.print(piece)
    return
  }
  await writeOutput(file, drawn())
  session.say(`wrote ${file} (${dimensions(params)}, ${size} bytes)`)
}

/** Yields the PNG of a picture that all cores draw, and says how far they are. Throws `aborted`. */
export async function* draw(session: Session, job: RenderJob): AsyncGenerator<Uint8Array, void> {
  const { env, signal, stderr } = session
  const [{ bandsOf }, { createRenderPool }, { createProgressReport }] = await Promise.all([
    import('../kernel/render.ts'),
    import('../worker/render-pool.ts'),
    import('./progress-report.ts'),
  ])
  const { height } = job.params
  const pool = createRenderPool(Math.min(availableParallelism(), bandsOf(job.params).length))
  const report = createProgressReport(stderr, env.TERM)
  let timer: NodeJS.Timeout | undefined
  try {
    const rendering = await pool.render(job, signal)
    const update = () => {
      const rows = rendering.rows()
      report.update({ share: rows / height, over: rows === height, text: `${rows} of ${height} rows` })
    }
    timer = setInterval(update, REPORT_EVERY_MS)
    try {
      yield* rendering.chunks
    } finally {
      rendering.stop()
    }
    update()
  } finally {
    clearInterval(timer)
    report.stop()
    await pool.close()
  }
}
