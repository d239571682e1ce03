import type { Command } from 'commander'
import { FaafoError } from '../../events/errors.ts'
import type { Moment } from '../../events/moment.ts'
import { addOutputOption, type OutputOption } from './output.ts'
import { addDoctor } from './replay-doctor.ts'
import { addExport } from './replay-export.ts'
import { addImport } from './replay-import.ts'
import { addPark } from './replay-park.ts'
import { addRebuild } from './replay-rebuild.ts'
import { addTail, momentArgument } from './replay-tail.ts'
import { addVerify } from './replay-verify.ts'
import { inSession, parseUuid, type Session, type Surroundings } from './session.ts'

/** `replay …`: tools of whoever runs the installation; they speak to broker and database. */
export function addReplay(program: Command, surroundings: Surroundings): void {
  const replay = program
    .command('replay')
    .summary("read the log, and build the tables from it (operator's tools)")
    .description(
      'Works on the log itself: on the broker of NATS_URL and the database of DATABASE_URL or, where they are not set, on those of the faafo up that runs on DATA_DIR.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ faafo replay show 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11
  $ faafo replay tail
  $ faafo replay doctor
  $ faafo replay verify
  $ faafo replay rebuild
  $ faafo replay park list`,
    )
  const show = replay
    .command('show')
    .summary('show the events of one fractal')
    .description('Shows everything that happened to one fractal, in the order of the log; also when it was deleted.')
    .argument('<uuid>')
    .option('--as-of <moment>', 'show instead what was known of it at a cursor or a time', momentArgument)
  addOutputOption(show)
    .addHelpText(
      'after',
      `
Examples:
  $ faafo replay show 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11
  $ faafo replay show 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11 --as-of 2026-01-31T12:00:00Z
  $ faafo replay show 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11 --as-of 42-0198c3a1 --output json`,
    )
    .action((uuid: string, options: ShowOptions, self: Command) =>
      inSession(self, surroundings, (session) => showHistory(session, parseUuid(uuid), options)),
    )
  addTail(replay, surroundings)
  addDoctor(replay, surroundings)
  addVerify(replay, surroundings)
  addRebuild(replay, surroundings)
  addExport(replay, surroundings)
  addImport(replay, surroundings)
  addPark(replay, surroundings)
}

type ShowOptions = OutputOption & { asOf?: Moment }

export async function showHistory(session: Session, uuid: string, { output, asOf }: ShowOptions): Promise<void> {
  const { findInstallation, withLog } = await import('./installation.ts')
  const { showHistory: read } = await import('../replay/show.ts')
  const installation = await findInstallation(session.env)
  if (asOf) {
    const { objectOf } = await import('../api/object.ts')
    const { fractalAsOf } = await import('../platform/as-of.ts')
    const fractal = await withLog(installation, session.signal, ({ log }) => fractalAsOf(log, uuid, asOf))
    if (output === 'json') return session.printJson(objectOf(fractal))
    return session.print((await import('./table.ts')).fractalTable(objectOf(fractal)))
  }
  const entries = await withLog(installation, session.signal, ({ log }) => read(log, uuid))
  if (entries.length === 0) throw new FaafoError('not-found', `fractal '${uuid}' not found`)
  if (output === 'json') return session.printJson(entries)
  const { tableOf } = await import('./table.ts')
  const rows = entries.map(({ cursor, time, type, generation, worker, duration, details }) => [
    cursor,
    time,
    type,
    generation ?? '-',
    worker ?? '-',
    duration === null ? '-' : `${duration.toFixed(6)} seconds`,
    details,
  ])
  const head = ['Cursor', 'Time', 'Event', 'Generation', 'Worker', 'Duration', 'Details']
  const { isTTY, columns } = session.stdout
  await session.print(tableOf(head, rows, isTTY ? columns : undefined))
}
