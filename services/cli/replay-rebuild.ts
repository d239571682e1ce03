import type { Command } from 'commander'
import { addOutputOption, type OutputOption } from './output.ts'
import type { ProgressReport } from './progress-report.ts'
import { inSession, type Session, type Surroundings } from './session.ts'

type Options = OutputOption & { dryRun?: boolean }

/** Differences that are printed; --output json has more. */
const SHOWN = 20

export function addRebuild(replay: Command, surroundings: Surroundings): void {
  const rebuild = replay
    .command('rebuild')
    .summary('make the table anew from the log')
    .description(
      'Folds the whole log into a new table beside the one that is served, says in which rows they differ, and has the new one take its place at one instant. Everything goes on meanwhile. May be interrupted at any moment: nothing has changed then. The table before is kept until the next rebuild, for replay rollback.',
    )
    .option('--dry-run', 'change nothing: only say in which rows the table differs from the log')
  addOutputOption(rebuild)
    .addHelpText(
      'after',
      `
Examples:
  $ faafo replay rebuild --dry-run
  $ DATA_DIR=/var/lib/faafo faafo replay rebuild`,
    )
    .action((options: Options, self: Command) =>
      inSession(self, surroundings, (session) => rebuildTable(session, options), { changes: true }),
    )
  const rollback = replay
    .command('rollback')
    .summary('put the table before the last rebuild back')
    .description(
      'The table and the one before it change places, at one instant, once that one is up to date. A second rollback undoes the first.',
    )
    .option('--dry-run', 'change nothing: only say whether there is a table to put back, and where it stands')
  addOutputOption(rollback)
    .addHelpText('after', '\nExamples:\n  $ faafo replay rollback --dry-run\n  $ faafo replay rollback')
    .action((options: Options, self: Command) =>
      inSession(self, surroundings, (session) => rollBackTable(session, options), { changes: true }),
    )
}

async function rebuildTable(session: Session, { dryRun = false, output }: Options): Promise<void> {
  const { say, print, printJson } = session
  const { onInstallation } = await import('./installation.ts')
  const rebuilt = await onInstallation(session, 'folding', async ({ report, signal, ...parts }) => {
    const { compareTable, rebuild } = await import('../projector/rebuild.ts')
    return (dryRun ? compareTable : rebuild)(parts, { signal, onProgress: folding(report) })
  })
  const { seq, fractals, differing, differences } = rebuilt
  if (output === 'json') await printJson({ took_over: !dryRun, seq, fractals, differing, differences })
  else if (differences.length > 0) {
    const { tableOf } = await import('./table.ts')
    const rows = differences.slice(0, SHOWN).map((one) => [one.uuid, textOf(one)])
    await print(tableOf(['UUID', 'Difference'], rows))
  }
  const found = differing === 0 ? 'no row differed' : `${differing} ${differing === 1 ? 'row' : 'rows'} differed`
  say(
    dryRun
      ? `compared with the log's ${seq} events, ${fractals} fractals: ${found}; nothing was changed`
      : `the table is made anew from the log's ${seq} events, ${fractals} fractals: ${found} before`,
  )
}

type Compared = { version: number | null; inTable: object | null; inLog: object | null; columns: string[] }

const textOf = ({ version, inTable, inLog, columns }: Compared): string => {
  const as = version === null ? '' : `as of event ${version}: `
  if (!inTable) return `${as}missing from the table`
  return `${as}${inLog ? `differs in ${columns.join(', ')}` : 'not in the log'}`
}

async function rollBackTable(session: Session, { dryRun = false, output }: Options): Promise<void> {
  const { onInstallation } = await import('./installation.ts')
  const { seq } = await onInstallation(session, 'folding', async ({ report, signal, ...parts }) =>
    (await import('../projector/rebuild.ts')).rollBack(parts, { dryRun, signal, onProgress: folding(report) }),
  )
  if (output === 'json') await session.printJson({ took_over: !dryRun, seq })
  session.say(
    dryRun
      ? `the table before stands at event ${seq} of the log; nothing was changed`
      : `the table before is back, up to date with the log's ${seq} events`,
  )
}

const folding =
  (report: ProgressReport) =>
  ({ seq, lastSeq }: { seq: number; lastSeq: number }) =>
    report.update({ share: lastSeq === 0 ? 1 : seq / lastSeq, over: false, text: `${seq} of ${lastSeq} events` })
