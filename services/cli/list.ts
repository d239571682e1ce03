import { type Command, Option } from 'commander'
import { type Status, statuses } from '../../events/task.ts'
import type { FractalObject, Query } from './client.ts'
import { addOutputOption, type OutputOption } from './output.ts'
import { momentText } from './replay-tail.ts'
import { inSession, type Session, type Surroundings, usageError } from './session.ts'

const PAGE = 500

type Options = OutputOption & { limit?: string; status?: Status; asOf?: string }

export function addList(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('list')
    .summary('list fractals')
    .description('Lists fractals in the order in which they were requested.')
    .option('--limit <n>', 'at most so many (default: all)')
    .addOption(new Option('--status <status>', 'only those in this status').choices(statuses))
    .option('--as-of <moment>', 'list instead what was there at a cursor or a time', momentText)
  addOutputOption(command)
    .addHelpText(
      'after',
      `
Examples:
  $ faafo list
  $ faafo list --status failed
  $ faafo list --limit 20 --output json
  $ faafo list --status requested --as-of 2026-01-31T12:00:00Z`,
    )
    .action((options: Options, self: Command) => inSession(self, surroundings, (session) => list(session, options)))
}

async function list(session: Session, options: Options): Promise<void> {
  const limit = parseLimit(options.limit)
  const fractals = firstOf(limit, session, options)
  if (options.output === 'json') {
    // page by page: there may be many
    let before = '['
    for await (const fractal of fractals) {
      await session.print(`${before}\n${JSON.stringify(fractal)}`)
      before = ','
    }
    await session.print(before === '[' ? '[]\n' : '\n]\n')
    return
  }
  const rows: FractalObject[] = []
  for await (const fractal of fractals) rows.push(fractal)
  const { fractalsTable } = await import('./table.ts')
  await session.print(fractalsTable(rows))
}

async function* firstOf(limit: number, { client, signal }: Session, { status, asOf }: Options) {
  const q: Query | undefined = status && { filters: [{ name: 'status', op: '==', val: status }] }
  let left = limit
  for await (const fractal of client.all({ resultsPerPage: Math.min(limit, PAGE), ...(q && { q }), asOf, signal })) {
    yield fractal
    if (--left === 0) return
  }
}

function parseLimit(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY
  const limit = Number(text)
  if (!Number.isInteger(limit) || limit < 1)
    throw usageError(`cannot use --limit ${text}: expected a whole number from 1`)
  return limit
}
