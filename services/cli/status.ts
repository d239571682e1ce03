import type { Command } from 'commander'
import type { Status } from './client.ts'
import { addOutputOption, type OutputOption } from './output.ts'
import { inSession, type Session, type Surroundings } from './session.ts'

export function addStatus(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('status')
    .summary('show the queue, the workers and the lag')
    .description('Shows how many requests wait, which workers are there, and how far the tables are behind the log.')
  addOutputOption(command)
    .addHelpText('after', '\nExamples:\n  $ faafo status\n  $ faafo status --output json')
    .action((options: OutputOption, self: Command) =>
      inSession(self, surroundings, (session) => show(session, options)),
    )
}

async function show({ client, signal, print, printJson }: Session, { output }: OutputOption): Promise<void> {
  const status = await client.status({ signal })
  if (output === 'json') return printJson(status)
  const { tableOf } = await import('./table.ts')
  await print(tableOf(['Parameter', 'Value'], summaryRows(status)))
  const rows = status.workers.map(({ name, host, version, threads, state, reason, tasks }) => [
    name,
    host,
    version,
    threads,
    reason === undefined ? state : `${state}: ${reason}`,
    tasks.length === 0 ? '-' : tasks.length === 1 ? String(tasks[0]) : `${tasks[0]} and ${tasks.length - 1} more`,
  ])
  await print(
    rows.length === 0 ? 'no workers\n' : tableOf(['Worker', 'Host', 'Version', 'Threads', 'State', 'Tasks'], rows),
  )
}

function summaryRows({ version, queue, projection }: Status): string[][] {
  const { lag_events: events, lag_seconds: seconds, parked, status, reason } = projection
  const oldest = queue.oldest_waiting
  return [
    ['version', version],
    ['queue depth', count(queue.depth)],
    ['waiting', count(queue.waiting)],
    ['in hand', count(queue.in_hand)],
    ['oldest waiting', oldest ? `${oldest.uuid}, for ${oldest.seconds.toFixed(1)} seconds` : '-'],
    ['lag', events === null ? 'unknown' : `${events} events${seconds ? `, ${seconds.toFixed(1)} seconds` : ''}`],
    ['parked events', count(parked)],
    ['projection', reason === undefined ? status : `${status}: ${reason}`],
  ]
}

const count = (n: number | null) => (n === null ? 'unknown' : String(n))
