import { type Command, CommanderError } from 'commander'
import type { Diagnosis } from '../replay/doctor/diagnosis.ts'
import type { DoctorOptions, Examination } from '../replay/doctor/doctor.ts'
import { addOutputOption, type OutputOption } from './output.ts'
import { inSession, type Session, type Surroundings, usageError } from './session.ts'

type Options = OutputOption & { images?: boolean; mend?: boolean; dryRun?: boolean }

export function addDoctor(replay: Command, surroundings: Surroundings): void {
  const doctor = replay
    .command('doctor')
    .summary('say what is wrong with this system, and what to do')
    .description(
      'Looks at broker, log, queues, workers, operators, projector, webhooks, database, storage, clocks and disks, and says of each what is well or what is wrong, with the command that mends it. Takes some seconds, also on a large system, and changes nothing. Exit code 1 where something is wrong; a warning is none. What it does not do is to read the log and the images: that is replay verify.',
    )
    .option('--images', 'look also for images that no fractal has any more, which takes long where there are many')
    .option(
      '--mend',
      'carry out the safe remedies: make or repair queues and streams, drop what a killed rebuild left; with --images, remove such images',
    )
    .option('--dry-run', 'with --mend: change nothing, only say what would be done')
  addOutputOption(doctor)
    .addHelpText(
      'after',
      `
Examples:
  $ faafo replay doctor
  $ faafo replay doctor --mend --dry-run
  $ faafo replay doctor --images --mend --output json`,
    )
    .action((options: Options, self: Command) =>
      inSession(self, surroundings, (session) => examine(session, options), { changes: options.mend ?? false }),
    )
}

async function examine(session: Session, { images = false, mend = false, dryRun = false, output }: Options) {
  if (dryRun && !mend) throw usageError('cannot leave out what is not asked for: --dry-run goes with --mend')
  const { findInstallation, withDoctorParts } = await import('./installation.ts')
  const { doctor } = await import('../replay/doctor/doctor.ts')
  const { createProgressReport } = await import('./progress-report.ts')
  const { env, stderr, signal } = session
  const report = images ? createProgressReport(stderr, env.TERM, 'looking at images') : null
  const onProgress: DoctorOptions['onProgress'] = ({ step, done, total }) =>
    report?.update({ share: total === 0 ? 1 : done / total, over: false, text: progressText[step](done, total) })
  const examination = await withDoctorParts(await findInstallation(env), (parts) =>
    doctor(parts, { images, mend: mend && dryRun ? 'dry-run' : mend, signal, onProgress }),
  ).finally(() => report?.stop())
  await print(session, examination, { isDryRun: dryRun, output })
}

const progressText = {
  images: (done: number) => `${done} images listed`,
  log: (done: number, total: number) => `${done} of ${total} events`,
}

type Printing = { isDryRun: boolean; output: OutputOption['output'] }

async function print(
  { say, print, printJson, stdout }: Session,
  { findings, mended }: Examination,
  printing: Printing,
) {
  const count = (severity: Diagnosis['severity']) => findings.filter((one) => one.severity === severity).length
  const [faults, warnings] = [count('wrong'), count('warning')]
  if (printing.output === 'json')
    await printJson({ healthy: faults === 0, dry_run: printing.isDryRun, mended, findings })
  else {
    const { tableOf } = await import('./table.ts')
    const rows = findings.map((one) => [one.check, one.severity, textOf(one)])
    await print(tableOf(['Check', 'State', 'Found'], rows, stdout.isTTY ? stdout.columns : undefined))
  }
  for (const { check, what, error } of mended) {
    const did = printing.isDryRun ? 'would be mended' : error === null ? 'mended' : `not mended (${error})`
    say(`${check} ${did}: ${what}`)
  }
  const looked = `${findings.length - count('skipped')} checks`
  const warned = warnings === 0 ? '' : `${warnings} ${warnings === 1 ? 'warning' : 'warnings'}`
  if (faults === 0) return say(warned === '' ? `all is well: ${looked}` : `nothing is wrong: ${looked}, ${warned}`)
  const found = `found ${faults} ${faults === 1 ? 'fault' : 'faults'}${warned && ` and ${warned}`} in ${looked}`
  throw new CommanderError(1, 'faafo.findings', found)
}

const textOf = ({ found, remedy }: Diagnosis) => (remedy === null ? found : `${found}. What to do: ${remedy}`)
