import { randomUUID } from 'node:crypto'
import { type Command, Option } from 'commander'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { type Status, statuses } from '../../events/task.ts'
import type { Bulk, OperationObject } from './client.ts'
import { addOutputOption, type OutputOption } from './output.ts'
import type { Progress } from './progress-report.ts'
import { advising, inSession, parseUuid, type Session, type Surroundings, usageError } from './session.ts'

type Action = Bulk['action']
type Options = OutputOption & {
  q?: string
  status?: Status
  all?: boolean
  rate?: string
  id?: string
  dryRun?: boolean
  wait?: boolean
}

const actions: { name: Action; summary: string; description: string }[] = [
  {
    name: 'cancel',
    summary: 'cancel fractals that are not finished',
    description: 'Cancels every fractal that matches and is not finished.',
  },
  {
    name: 'retry',
    summary: 'render failed or cancelled fractals again',
    description:
      'Has every fractal rendered again that matches and failed or was cancelled. Lost images are not looked for: faafo retry UUID mends one.',
  },
  { name: 'delete', summary: 'delete fractals', description: 'Deletes every fractal that matches, for good.' },
]

/** What is being done, for a progress bar. */
const doing: Readonly<Record<Action, string>> = { cancel: 'cancelling', retry: 'retrying', delete: 'deleting' }

/** `bulk …`: one operation on every fractal that matches, carried out by an operator. */
export function addBulk(program: Command, surroundings: Surroundings): void {
  const bulk = program
    .command('bulk')
    .summary('cancel, retry or delete every fractal that matches')
    .description(
      'Cancels, retries or deletes every fractal that matches, as one recorded operation that goes on without this program: an operator carries it out, each fractal at most once, also when processes die meanwhile.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ faafo bulk retry --status failed --rate 5 --wait
  $ faafo bulk delete --all --dry-run
  $ faafo bulk show 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11
  $ faafo bulk stop 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11`,
    )
  for (const { name, summary, description } of actions) {
    const command = bulk
      .command(name)
      .summary(summary)
      .description(
        `${description} Of those that are there when it is requested. Prints the id of the operation; with --wait how it ended.`,
      )
      .option('--q <json>', 'filters as the list of the api takes them: {"filters": […]}, all of which must hold')
      .addOption(new Option('--status <status>', 'only those in this status').choices(statuses))
      .addOption(new Option('--all', 'every fractal').conflicts(['q', 'status']))
      .option('--rate <n>', 'change at most so many in a second (default: as fast as can be)')
      .option('--id <uuid>', 'of the operation; requesting the same one again changes nothing')
      .option('--wait', 'wait until it is over; exit code 1 where it did not complete')
      .addOption(new Option('--dry-run', 'change nothing: say how many match').conflicts('wait'))
    addOutputOption(command)
      .addHelpText(
        'after',
        `
Examples:
  $ faafo bulk ${name} --status ${name === 'cancel' ? 'requested' : 'failed'} --wait
  $ faafo bulk ${name} --all --dry-run
  $ faafo bulk ${name} --q '{"filters": [{"name": "width", "op": "ge", "val": 4096}]}' --rate 10`,
      )
      .action((options: Options, self: Command) =>
        inSession(self, surroundings, (session) => begin(session, name, options), { changes: true }),
      )
  }
  const id = '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11'
  const show = bulk
    .command('show')
    .summary('show how far an operation has come')
    .description('Shows how far an operation has come, or with --wait how it ended.')
    .argument('<id>')
    .option('--wait', 'wait until it is over; exit code 1 where it did not complete')
  addOutputOption(show)
    .addHelpText('after', `\nExamples:\n  $ faafo bulk show ${id}\n  $ faafo bulk show ${id} --wait`)
    .action((id: string, options: Options, self: Command) =>
      inSession(self, surroundings, async (session) => {
        const operation = await session.client.operations.get(parseUuid(id), { signal: session.signal })
        await (options.wait ? waitFor(session, operation, options) : printed(session, operation, options))
      }),
    )
  const stop = bulk
    .command('stop')
    .summary('stop an operation')
    .description('Stops an operation: nothing more is changed, and what was changed stays so.')
    .argument('<id>')
  addOutputOption(stop)
    .addHelpText('after', `\nExamples:\n  $ faafo bulk stop ${id}`)
    .action((id: string, options: Options, self: Command) =>
      inSession(
        self,
        surroundings,
        async (session) => {
          const { client, signal } = session
          await printed(session, await client.operations.stop(parseUuid(id), { signal }), options)
        },
        { changes: true },
      ),
    )
}

async function begin(session: Session, action: Action, options: Options): Promise<void> {
  const { client, signal } = session
  const filters = filtersOf(action, options)
  const rate = rateOf(options.rate)
  const id = options.id === undefined ? randomUUID() : parseUuid(options.id)
  if (options.dryRun) {
    const matched = await client.operations.count({ action, filters }, { signal })
    if (options.output === 'json') return session.printJson({ action, filters, matched })
    return session.print(`${matched} match; nothing was changed\n`)
  }
  let operation: OperationObject
  try {
    operation = await client.operations.begin({ id, action, filters, rate }, { signal })
  } catch (error) {
    const known = `operation '${id}' may have been requested or not: faafo bulk show ${id} tells, faafo bulk stop ${id} ends it`
    if (signal.aborted) session.say(`interrupted: ${known}`)
    if (!isFaafoError(error, 'unreachable')) throw advising(commandOf(id, action, options), error)
    throw new FaafoError(error.code, `${error.message}; ${known}`, { cause: error, details: error.details })
  }
  if (options.wait) return waitFor(session, operation, options)
  if (options.output === 'json') return session.printJson(operation)
  await session.print(`${operation.id}\n`)
}

/** Throws a usage error where nothing says which fractals are meant. */
function filtersOf(action: Action, { q, status, all }: Options): unknown[] {
  const filters = [
    ...(q === undefined ? [] : filtersIn(q)),
    ...(status ? [{ name: 'status', op: '==', val: status }] : []),
  ]
  if (filters.length > 0 || all) return filters
  throw usageError(`cannot ${action} without knowing what: give --status or --q, or --all for every fractal`)
}

function filtersIn(q: string): unknown[] {
  const expected = 'expected JSON such as {"filters": [{"name": "width", "op": "ge", "val": 512}]}'
  let json: unknown
  try {
    json = JSON.parse(q)
  } catch {
    throw usageError(`cannot read --q: ${expected}`)
  }
  const { filters, ...more } = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>
  if (!Array.isArray(filters)) throw usageError(`cannot read --q: ${expected}`)
  const [unknown] = Object.keys(more)
  if (unknown !== undefined) throw usageError(`cannot use --q with ${unknown}: only filters go with an operation`)
  return filters
}

function rateOf(text: string | undefined): number | null {
  if (text === undefined) return null
  const rate = Number(text)
  if (!(rate > 0 && Number.isFinite(rate))) throw usageError(`cannot use --rate ${text}: expected a number above 0`)
  return rate
}

/** The very same request as a command. */
const commandOf = (id: string, action: Action, { q, status, all, rate }: Options): string =>
  [
    `faafo bulk ${action} --id ${id}`,
    ...(q === undefined ? [] : [`--q '${q.replaceAll("'", `'\\''`)}'`]),
    ...(status ? [`--status ${status}`] : []),
    ...(all ? ['--all'] : []),
    ...(rate === undefined ? [] : [`--rate ${rate}`]),
  ].join(' ')

async function waitFor(session: Session, { id, action }: OperationObject, options: OutputOption): Promise<void> {
  const { client, env, signal, stderr } = session
  const { createProgressReport } = await import('./progress-report.ts')
  const report = createProgressReport(stderr, env.TERM, doing[action])
  const operation = await client.operations
    .waitFor(id, { signal, onProgress: (operation) => report.update(progressOf(operation)) })
    .finally(() => {
      report.stop()
      if (signal.aborted) session.say(`stopped waiting; the operation goes on: faafo bulk stop ${id} ends it`)
    })
  await printed(session, operation, options)
  const { status, reason } = operation
  if (status !== 'completed') session.report(new Error(`operation '${id}' ${status}${reason ? `: ${reason}` : ''}`))
}

function progressOf({ counts, matched, status, finished_at }: OperationObject): Progress {
  const { changed, unchanged, unreadable } = counts
  const dealtWith = changed + unchanged + unreadable
  const over = finished_at !== null
  const share = over ? 1 : matched ? Math.min(1, dealtWith / matched) : 0
  const text = matched === null && !over ? status : `${dealtWith} of ${matched ?? 0}, ${changed} changed`
  return { share, over, text }
}

async function printed(session: Session, operation: OperationObject, { output }: OutputOption): Promise<void> {
  if (output === 'json') return session.printJson(operation)
  const { tableOf } = await import('./table.ts')
  const { counts, filters, rate, matched, reason, finished_at } = operation
  const rows: [string, string | number][] = [
    ['id', operation.id],
    ['action', operation.action],
    ['filters', filters.length === 0 ? 'none: every fractal' : JSON.stringify(filters)],
    ['rate', rate === null ? '-' : `${rate} in a second`],
    ['status', operation.status],
    ['matched', matched ?? '-'],
    ...Object.entries(counts),
    ['created_at', operation.created_at],
    ['updated_at', operation.updated_at],
    ['finished_at', finished_at ?? '-'],
  ]
  if (reason !== null) rows.push(['reason', reason])
  await session.print(tableOf(['Parameter', 'Value'], rows))
}
