import { type Command, InvalidArgumentError, Option } from 'commander'
import { cursorPattern } from '../../events/cursor.ts'
import { isFaafoError } from '../../events/errors.ts'
import type { EventType } from '../../events/events.ts'
import { parseTime } from '../../events/moment.ts'
import { eventTypes } from '../../events/subjects.ts'
import { type Status, statuses } from '../../events/task.ts'
import type { FollowedEvent } from './client.ts'
import { inSession, parseUuid, type Session, type Surroundings } from './session.ts'

type Options = {
  uuid: string[]
  type: EventType[]
  status: (Status | 'deleted')[]
  after?: string
  since?: string
  output: 'table' | 'ndjson'
}

export function addEvents(program: Command, surroundings: Surroundings): void {
  program
    .command('events')
    .summary('follow what happens')
    .description(
      'Prints every event from now on, from after a cursor or from a time on, in the order of the log, until it is interrupted. Where the connection breaks it goes on from where it was; each event comes once.',
    )
    .option('--uuid <uuids...>', 'only events of these fractals', [])
    .addOption(new Option('--type <types...>', 'only events of these types').choices(eventTypes).default([], 'all'))
    .addOption(
      new Option('--status <statuses...>', 'only events that lead to one of these states')
        .choices([...statuses, 'deleted'])
        .default([], 'all'),
    )
    .option('--after <cursor>', 'what comes after this cursor; 0: everything', cursorText)
    .addOption(new Option('--since <time>', 'what came from this time on').argParser(timeText).conflicts('after'))
    .addOption(
      new Option('--output <format>', 'a line for people, or a CloudEvent as JSON, on each line')
        .choices(['table', 'ndjson'])
        .default('table'),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ faafo events
  $ faafo events --status failed cancelled
  $ faafo events --after 0 --output ndjson > events.ndjson
  $ faafo events --after "$(tail -n 1 events.ndjson | jq -r .cursor)" --output ndjson >> events.ndjson`,
    )
    .action((options: Options, self: Command) => inSession(self, surroundings, (session) => follow(session, options)))
}

/** The text itself, for the api to read. Throws what commander takes for a wrong argument. */
export function cursorText(text: string): string {
  if (!cursorPattern.test(text)) throw new InvalidArgumentError('expected a cursor such as 42-1f2e3d4c, or 0')
  return text
}

/** The same for a time. */
export function timeText(text: string): string {
  if (!parseTime(text)) throw new InvalidArgumentError('expected a time such as 2026-01-31T12:00:00Z')
  return text
}

async function follow(session: Session, options: Options): Promise<void> {
  const { client, signal, print } = session
  const { type: types, status, after, since, output } = options
  const uuids = options.uuid.map(parseUuid)
  try {
    for await (const event of client.follow({ signal, after, since, types, uuids, statuses: status })) {
      await print(output === 'ndjson' ? `${JSON.stringify(event)}\n` : lineOf(event))
    }
  } catch (error) {
    if (!isFaafoError(error, 'aborted') || !signal.aborted) throw error
  }
}

function lineOf(event: FollowedEvent): string {
  const { cursor, recordedtime, type, subject = '-' } = event
  const about = 'unreadable' in event ? event.unreadable : briefly(event.data)
  const columns = [cursor.padEnd(17), recordedtime, type.padEnd(17), subject, about]
  return `${columns
    .join('  ')
    .replace(/\p{Cc}/gu, ' ')
    .trimEnd()}\n`
}

/** What a person looks for first. */
function briefly(data: object): string {
  const { generation, worker, generatedBy, error, reason, params, size, duration } = data as {
    generation?: number
    worker?: string
    generatedBy?: string
    error?: { code: string; message: string }
    reason?: string
    params?: { width: number; height: number; iterations: number }
    size?: number
    duration?: number
  }
  return [
    generation !== undefined && generation > 1 && `generation ${generation}`,
    params && `${params.width} x ${params.height} pixels, ${params.iterations} iterations`,
    (worker ?? generatedBy) && `by ${worker ?? generatedBy}`,
    size !== undefined && `${size} bytes`,
    duration !== undefined && `${duration.toFixed(2)} s`,
    error && `${error.code}: ${error.message}`,
    reason,
  ]
    .filter(Boolean)
    .join(', ')
}
