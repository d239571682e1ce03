import { type Command, InvalidArgumentError, Option } from 'commander'
import { messageOf } from '../../events/errors.ts'
import type { EventType } from '../../events/events.ts'
import { type Moment, parseMoment } from '../../events/moment.ts'
import { eventTypes } from '../../events/subjects.ts'
import { inSession, parseUuid, type Session, type Surroundings } from './session.ts'

type Options = { uuid: string[]; type: EventType[]; since?: Moment; follow: boolean; output: 'table' | 'json' }

export function addTail(replay: Command, surroundings: Surroundings): void {
  replay
    .command('tail')
    .summary('print events as they are recorded')
    .description(
      'Prints the last ten events and then, until it is interrupted, every event that is recorded, in the order of the log.',
    )
    .option('--uuid <uuids...>', 'only events of these fractals', [])
    .addOption(new Option('--type <types...>', 'only events of these types').choices(eventTypes).default([], 'all'))
    .option('--since <moment>', 'from after this cursor, or from this time on; 0: all', momentArgument)
    .option('--no-follow', 'end at the end of the log')
    .addOption(
      new Option('--output <format>', 'a line for people, or a CloudEvent as JSON, on each line')
        .choices(['table', 'json'])
        .default('table'),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ faafo replay tail
  $ faafo replay tail --type TaskFailed TaskCancelled --since 2026-01-31T12:00:00Z
  $ faafo replay tail --since 0 --no-follow --output json > events.ndjson`,
    )
    .action((options: Options, self: Command) => inSession(self, surroundings, (session) => tail(session, options)))
}

/** Throws what commander takes for a wrong argument. */
export function momentArgument(text: string): Moment {
  try {
    return parseMoment(text)
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error).replace(/^.*?: /, ''))
  }
}

/** The text itself, for the api to read, once it is known to be a moment. */
export function momentText(text: string): string {
  momentArgument(text)
  return text
}

async function tail(session: Session, { uuid, type, since, follow, output }: Options): Promise<void> {
  const { print } = session
  const uuids = uuid.map(parseUuid)
  const { findInstallation, withLog } = await import('./installation.ts')
  const { tailLog } = await import('../replay/tail.ts')
  const { timelineOf } = await import('../replay/show.ts')
  const { outside } = await import('../platform/unreadable.ts')
  const installation = await findInstallation(session.env)
  await withLog(installation, session.signal, async ({ signal, ...parts }) => {
    for await (const event of tailLog(parts, { since, uuids, types: type, follow, signal })) {
      if (output === 'json') {
        await print(`${JSON.stringify(outside(event))}\n`)
        continue
      }
      for (const { cursor, time, type, generation, worker, details } of timelineOf([event])) {
        const columns = [
          cursor.padEnd(17),
          time,
          type.padEnd(17),
          event.fractal,
          generation ?? '-',
          worker ?? '-',
          details,
        ]
        await print(
          `${columns
            .join('  ')
            .replace(/\p{Cc}/gu, ' ')
            .trimEnd()}\n`,
        )
      }
    }
  })
}
