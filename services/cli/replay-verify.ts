import { type Command, CommanderError, InvalidArgumentError } from 'commander'
import type { Finding } from '../replay/findings.ts'
import type { VerifyProgress } from '../replay/verify.ts'
import { addOutputOption, type OutputOption } from './output.ts'
import { inSession, type Session, type Surroundings } from './session.ts'

/** Findings that are printed; --output json has all. */
const SHOWN = 50

type Options = OutputOption & { render: number }

export function addVerify(replay: Command, surroundings: Surroundings): void {
  const verify = replay
    .command('verify')
    .summary('prove that log, table and images agree')
    .description(
      'Reads the whole log and every image, and says whatever is not as it has to be, with the command that mends it: rows that are not what the log says, images that are missing or damaged, events that cannot be read or cannot follow those before them. Waits for a projector that still brings events into the table. Changes nothing, and everything goes on meanwhile. Exit code 1 where anything was found.',
    )
    .option(
      '--render <n>',
      'draw so many pictures again, chosen at random, and compare their pixels; all: every one',
      parseCount,
      0,
    )
  addOutputOption(verify)
    .addHelpText(
      'after',
      `
Examples:
  $ faafo replay verify
  $ faafo replay verify --render 20 --output json`,
    )
    .action((options: Options, self: Command) =>
      inSession(self, surroundings, (session) => verifyAll(session, options)),
    )
}

function parseCount(text: string): number {
  if (text === 'all') return Number.POSITIVE_INFINITY
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new InvalidArgumentError("expected a whole number, or 'all'")
}

async function verifyAll(session: Session, { render: pictures, output }: Options): Promise<void> {
  const { onInstallation } = await import('./installation.ts')
  const { imagesAt } = await import('../replay/connections.ts')
  const { withRenderer } = await import('../replay/redrawing.ts')
  const { verify } = await import('../replay/verify.ts')
  const verified = await onInstallation(session, 'verifying', ({ installation, report, signal, ...parts }) => {
    const { config, storageUrl } = installation
    const images = imagesAt(storageUrl, parts.broker, null)
    const onProgress = ({ step, done, total }: VerifyProgress) =>
      report.update({ share: total === 0 ? 1 : done / total, over: false, text: `${done} of ${total} ${what[step]}` })
    return withRenderer({ pictures, threads: config.renderThreads }, (render) =>
      verify(parts, { images, render, pictures, signal, onProgress }),
    )
  })
  const { seq, fractals, images, drawn, findings } = verified
  if (output === 'json') await session.printJson(verified)
  else if (findings.length > 0) {
    const { tableOf } = await import('./table.ts')
    const rows = findings.slice(0, SHOWN).map((one) => [one.kind, aboutOf(one), one.problem, one.remedy])
    await session.print(tableOf(['Finding', 'Fractal or event', 'Problem', 'What to do'], rows))
  }
  const looked = `${seq} events, ${fractals} fractals, ${images} images${drawn > 0 ? `, ${drawn} pictures drawn again` : ''}`
  if (findings.length === 0) return session.say(`all is well: ${looked}`)
  throw new CommanderError(1, 'faafo.findings', `found ${findings.length} in ${looked}`)
}

const what = { table: 'events in the table', log: 'events', images: 'images', pictures: 'pictures' } as const

const aboutOf = ({ uuid, cursor }: Finding): string => uuid ?? cursor ?? '-'
