import { type Command, CommanderError } from 'commander'
import { addOutputOption, type OutputOption } from './output.ts'
import { inSession, type Session, type Surroundings } from './session.ts'

type Options = OutputOption & { dryRun?: boolean }

/** Conflicts that are printed; --output json has all. */
const SHOWN = 50

export function addImport(replay: Command, surroundings: Surroundings): void {
  const command = replay
    .command('import')
    .summary('append an exported log to this one')
    .description(
      'Appends what an export holds and this log does not, in its order and with the times at which it was recorded first, and puts its images into storage. The whole export is verified before anything is written. May be interrupted at any moment: done again it goes on. Everything goes on meanwhile; workers begin with what is without an outcome once it has finished. A fractal that went another way here than in the export stays as it is here: exit code 1. An export that begins after a cursor comes after what is before it, and is else refused.',
    )
    .argument('<folder>')
    .option('--dry-run', 'change nothing: verify the export, and say what would come into the log')
  addOutputOption(command)
    .addHelpText(
      'after',
      `
Examples:
  $ faafo replay import backup --dry-run
  $ NATS_URL=nats://broker:4222 STORAGE_URL=nats-object:images faafo replay import backup`,
    )
    .action((folder: string, options: Options, self: Command) =>
      inSession(self, surroundings, (session) => importFrom(session, folder, options), { changes: true }),
    )
}

async function importFrom(session: Session, dir: string, { dryRun = false, output }: Options): Promise<void> {
  const { say, print, printJson } = session
  const { onLog } = await import('./installation.ts')
  const { importLog } = await import('../replay/import.ts')
  const imported = await onLog(session, 'importing', { readOnly: dryRun }, ({ broker, images, report, signal }) =>
    importLog(broker, {
      ...{ dir, images, dryRun, signal },
      onProgress: ({ step, done, total }) =>
        report.update({
          share: total === 0 ? 1 : done / total,
          over: false,
          text: `${step} ${done} of ${total} events`,
        }),
    }),
  )
  const { events, appended, duplicates, skipped, conflicts, unfinished, images } = imported
  if (output === 'json') await printJson({ dry_run: dryRun, ...imported })
  else if (conflicts.length > 0) {
    const { tableOf } = await import('./table.ts')
    const rows = conflicts
      .slice(0, SHOWN)
      .map((one) => [one.fractal, one.line, one.slot, one.inExport, one.inLog ?? ''])
    await print(tableOf(['Fractal', 'Line', 'Slot', 'Event in the export', 'Event in the log'], rows))
  }
  const would = dryRun ? 'would be' : 'were'
  say(
    `of ${events} events ${appended} ${would} appended, ${duplicates} were there already, ${skipped} ${would} skipped`,
  )
  if (images) say(`${images.copied} images ${would} put into storage, ${images.missing} were missing from the export`)
  if (unfinished > 0) say(`${unfinished} fractals are without an outcome: workers render them once the import is over`)
  const damaged = images?.damaged ?? []
  if (damaged.length > 0) {
    say(`damaged in the export: ${damaged.slice(0, SHOWN).join(', ')}${damaged.length > SHOWN ? ' …' : ''}`)
  }
  const found = [
    conflicts.length > 0 && `${conflicts.length} fractals went another way here and stay as they are`,
    damaged.length > 0 && `${damaged.length} images are damaged`,
  ].filter((one) => one !== false)
  if (found.length > 0) throw new CommanderError(1, 'faafo.findings', `${found.join('; ')}`)
}
