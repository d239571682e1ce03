import { type Command, InvalidArgumentError, Option } from 'commander'
import { cursorPattern, parseCursor } from '../../events/cursor.ts'
import { addOutputOption, type OutputOption } from './output.ts'
import { type Change, changeParked, parkAll } from './replay-park-change.ts'
import { inSession, parseUuid, type Session, type Surroundings, usageError } from './session.ts'

const EVENT = '1042-9f1c2ab4'
const TASK = '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11'

/** `replay park …`: what could not be handled, and what is to become of it. */
export function addPark(replay: Command, surroundings: Surroundings): void {
  const park = replay
    .command('park')
    .summary('events and tasks that could not be handled')
    .description(
      'Tasks that exhausted their tries, and events that a projector could not read or store, with their error, attempts and version of the program. A task is named by its uuid, an event by its cursor.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ faafo replay park list
  $ faafo replay park show ${EVENT}
  $ faafo replay park event ${EVENT}     the projector halted there: everything else goes on
  $ faafo replay park retry ${EVENT}     once a newer version is there that knows it
  $ faafo replay park drop ${EVENT}      it counts for nothing, for good

Many tasks at once: faafo bulk retry --status failed --rate 10`,
    )
  addList(park, surroundings)
  addShow(park, surroundings)
  addEvent(park, surroundings)
  addRetry(park, surroundings)
  addDrop(park, surroundings)
}

type ListOptions = OutputOption & { kind?: 'event' | 'task'; type: string[]; code?: string; limit?: number }

function addList(park: Command, surroundings: Surroundings): void {
  const list = park
    .command('list')
    .summary('list what is parked')
    .description('Lists parked events in the order of the log, then failed tasks in the order of their requests.')
    .addOption(new Option('--kind <kind>', 'only events, or only tasks').choices(['event', 'task']))
    .option('--type <types...>', 'only events of these types', [])
    .option('--code <code>', 'only with this error, such as render-crashed')
    .option('--limit <n>', 'at most so many (default: all)', countArgument)
  addOutputOption(list)
    .addHelpText(
      'after',
      `
Examples:
  $ faafo replay park list --kind event
  $ faafo replay park list --code render-crashed --limit 20
  $ faafo replay park list --output json`,
    )
    .action((options: ListOptions, self: Command) =>
      inSession(self, surroundings, (session) => listAll(session, options)),
    )
}

function addShow(park: Command, surroundings: Surroundings): void {
  const show = park
    .command('show')
    .summary('show one, with all that is known of it')
    .description(
      'Shows an event as it stands in the log, whether or not it can be read, and what was decided about it; or the history of a task.',
    )
    .argument('<id>', 'a cursor or a uuid')
  addOutputOption(show)
    .addHelpText(
      'after',
      `\nExamples:\n  $ faafo replay park show ${EVENT}\n  $ faafo replay park show ${TASK} --output json`,
    )
    .action((id: string, options: OutputOption, self: Command) =>
      inSession(self, surroundings, (session) => showOne(session, parkedId(id), options)),
    )
}

function addEvent(park: Command, surroundings: Surroundings): void {
  const event = park
    .command('event')
    .summary('go on past an event that cannot be handled')
    .description(
      'Has projectors go on past events that this program cannot read, or at which the projector halted. Their fractals are held back, as they were before; all others go on. Nothing is lost: a newer version applies them by itself when it starts.',
    )
    .argument('<cursor...>')
    .option('--dry-run', 'change nothing: only say what would be done')
  addOutputOption(event)
    .addHelpText('after', `\nExamples:\n  $ faafo replay park event ${EVENT}`)
    .action((cursors: string[], options: Change, self: Command) =>
      inSession(
        self,
        surroundings,
        (session) =>
          parkAll(
            session,
            cursors.map((cursor) => cursorArgument(cursor)),
            options,
          ),
        { changes: true },
      ),
    )
}

function addRetry(park: Command, surroundings: Surroundings): void {
  const retry = park
    .command('retry')
    .summary('try again: some, or all events')
    .description(
      'Tries parked events again, through the upcasters of this version; their fractals are then whole. Has failed tasks rendered again.',
    )
    .argument('[id...]', 'cursors of events, uuids of tasks')
    .option('--type <types...>', 'all parked events of these types', [])
    .option('--all', 'all parked events')
    .option('--rate <n>', 'at most so many events a second (default: as fast as it goes)', rateArgument)
    .option('--dry-run', 'change nothing: only say what would be done')
  addOutputOption(retry)
    .addHelpText(
      'after',
      `
Examples:
  $ faafo replay park retry ${EVENT}
  $ faafo replay park retry --type TaskPaused --dry-run
  $ faafo replay park retry --all --rate 50
  $ faafo replay park retry ${TASK}

Many tasks at once: faafo bulk retry --status failed --rate 10`,
    )
    .action((ids: string[], options: Change, self: Command) =>
      inSession(self, surroundings, (session) => changeParked(session, 'retry', ids.map(parkedId), options), {
        changes: true,
      }),
    )
}

function addDrop(park: Command, surroundings: Surroundings): void {
  const drop = park
    .command('drop')
    .summary('give up, for good')
    .description(
      'Has events count for nothing, for good, whoever reads the log; the later ones of their fractals are applied. Deletes the fractals of failed tasks. Nothing brings back what was dropped.',
    )
    .argument('<id...>', 'cursors of events, uuids of tasks')
    .option('--dry-run', 'change nothing: only say what would be done')
  addOutputOption(drop)
    .addHelpText(
      'after',
      `\nExamples:\n  $ faafo replay park drop ${EVENT} --dry-run\n  $ faafo replay park drop ${EVENT} ${TASK}`,
    )
    .action((ids: string[], options: Change, self: Command) =>
      inSession(self, surroundings, (session) => changeParked(session, 'drop', ids.map(parkedId), options), {
        changes: true,
      }),
    )
}

/** A cursor, or else a uuid in lower case. Throws a usage error. */
function parkedId(text: string): string {
  if (/^[^-]{8}-[^-]{4}-/.test(text)) return parseUuid(text)
  return cursorArgument(text, `a cursor or a uuid: expected one such as ${EVENT} or ${TASK}`)
}

function cursorArgument(text: string, expected = `a cursor: expected one such as ${EVENT}`): string {
  if (cursorPattern.test(text)) return text.toLowerCase()
  throw usageError(`cannot read '${text}' as ${expected}`)
}

function countArgument(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number from 1')
}

function rateArgument(text: string): number {
  const rate = Number(text)
  if (text !== '' && rate > 0 && Number.isFinite(rate)) return rate
  throw new InvalidArgumentError('expected a positive number of events a second, such as 50')
}

async function listAll(session: Session, { output, limit, kind, type: types, code }: ListOptions): Promise<void> {
  const { findInstallation, withDatabase } = await import('./installation.ts')
  const { listParked } = await import('../replay/parked-items.ts')
  const items = await withDatabase(await findInstallation(session.env), 'park', (db) =>
    listParked(db, { kind, types, code, limit }),
  )
  if (output === 'json') return session.printJson(items)
  if (items.length === 0) return session.say('nothing is parked')
  const { tableOf } = await import('./table.ts')
  const rows = items.map((item) => [
    item.kind,
    item.id,
    item.type,
    item.since ?? '-',
    item.attempts,
    item.version ?? '-',
    `${item.error.code}: ${item.error.message}`,
  ])
  const { isTTY, columns } = session.stdout
  const head = ['Kind', 'Id', 'Event', 'Since', 'Attempts', 'Version', 'Error']
  await session.print(tableOf(head, rows, isTTY ? columns : undefined))
}

async function showOne(session: Session, id: string, { output }: OutputOption): Promise<void> {
  const { onInstallation } = await import('./installation.ts')
  const { showEvent } = await import('../replay/parked-items.ts')
  if (!cursorPattern.test(id)) {
    const { showHistory } = await import('./replay.ts')
    return showHistory(session, id, { output })
  }
  const shown = await onInstallation(session, 'reading', ({ ...parts }) => showEvent(parts, parseCursor(id)))
  if (output === 'json') return session.printJson(shown)
  const { tableOf } = await import('./table.ts')
  const { headers, decisions, ...others } = shown
  const rows = [...Object.entries(others), ...Object.entries(headers)].map(([name, value]) => [name, String(value)])
  await session.print(tableOf(['Parameter', 'Value'], rows))
  if (decisions.length === 0) return
  const lines = decisions.map((one) => [one.time, one.type, one.source, one.version ?? '-', one.error ?? '-'])
  await session.print(tableOf(['Time', 'Decision', 'Source', 'Version', 'Error'], lines))
}
