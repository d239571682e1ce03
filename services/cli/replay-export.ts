import { type Command, InvalidArgumentError } from 'commander'
import { type Cursor, parseCursor } from '../../events/cursor.ts'
import { messageOf } from '../../events/errors.ts'
import { addOutputOption, type OutputOption } from './output.ts'
import { inSession, type Session, type Surroundings } from './session.ts'

type Options = OutputOption & { images?: boolean; since?: Cursor }

export function addExport(replay: Command, surroundings: Surroundings): void {
  const command = replay
    .command('export')
    .summary('write the log into a folder')
    .description(
      'Writes every event that the log has now into a folder, one JSON object a line, each with a hash that covers all before it, and a manifest. Done again into the same folder it adds what is new, and goes on where one was interrupted. Everything goes on meanwhile.',
    )
    .argument('<folder>')
    .option('--images', 'copy the images, too')
    .option('--since <cursor>', 'begin after this cursor', cursorArgument)
  addOutputOption(command)
    .addHelpText(
      'after',
      `
Examples:
  $ faafo replay export backup --images
  $ faafo replay export since-then --since 42-0198c3a1`,
    )
    .action((folder: string, options: Options, self: Command) =>
      inSession(self, surroundings, (session) => exportTo(session, folder, options), { changes: true }),
    )
}

function cursorArgument(text: string): Cursor {
  try {
    return parseCursor(text)
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error).replace(/^.*?: /, ''))
  }
}

async function exportTo(
  session: Session,
  dir: string,
  { images: withImages = false, since, output }: Options,
): Promise<void> {
  const { say, printJson } = session
  const { onLog } = await import('./installation.ts')
  const { exportLog } = await import('../replay/export.ts')
  const exported = await onLog(session, 'exporting', { readOnly: true }, ({ broker, logger, images, report, signal }) =>
    exportLog(
      { broker, logger },
      {
        ...{ dir, images, withImages, since, signal },
        onProgress: ({ done, total }) =>
          report.update({ share: total === 0 ? 1 : done / total, over: false, text: `event ${done} of ${total}` }),
      },
    ),
  )
  const { events, added, first, last, images } = exported
  if (output === 'json') await printJson({ folder: dir, ...exported })
  const pictures = images ? `, ${images.copied} images` : ''
  say(`${dir} holds ${events} events${events > 0 ? `, ${first} to ${last}` : ''}, ${added} of them new${pictures}`)
  if (images && images.missing > 0)
    say(
      `${images.missing} images were missing or damaged; faafo replay verify names those of fractals that are not deleted`,
    )
}
