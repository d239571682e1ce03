import type { ParkedDelivery, WebhookAttempt, WebhookObject } from './client.ts'
import type { OutputOption } from './output.ts'
import type { Session } from './session.ts'

/* Webhooks, attempts and parked deliveries as the command line prints them. */

type Printing = Pick<Session, 'print' | 'printJson' | 'stdout'>

const list = (items: readonly string[], all: string) => (items.length === 0 ? all : items.join(', '))

/** With its secret, where the answer has it. */
export async function printWebhook(
  session: Printing,
  webhook: WebhookObject & { secret?: string },
  { output }: OutputOption,
): Promise<void> {
  if (output === 'json') return session.printJson(webhook)
  const { tableOf } = await import('./table.ts')
  const rows: [string, string | number][] = [
    ['id', webhook.id],
    ['url', webhook.url],
    ['description', webhook.description || '-'],
    ['types', list(webhook.types, 'all')],
    ['status', list(webhook.status, 'any')],
    ['uuid', list(webhook.uuid, 'all')],
    ['state', webhook.state],
    ['reason', webhook.reason ?? '-'],
    ['cursor', webhook.cursor ?? '-'],
    ['parked', webhook.parked],
    ['secrets', webhook.secrets],
    ['created', webhook.created],
    ['updated', webhook.updated],
  ]
  if (webhook.secret !== undefined) rows.push(['secret', `${webhook.secret} (shown this once)`])
  await session.print(tableOf(['Parameter', 'Value'], rows))
}

export async function printWebhooks(
  session: Printing,
  webhooks: readonly WebhookObject[],
  { output }: OutputOption,
): Promise<void> {
  if (output === 'json') return session.printJson(webhooks)
  const { tableOf } = await import('./table.ts')
  const rows = webhooks.map(({ id, state, cursor, parked, url }) => [id, state, cursor ?? '-', parked, url])
  await session.print(tableOf(['ID', 'State', 'Cursor', 'Parked', 'URL'], rows))
}

export async function printAttempt(
  session: Printing,
  attempt: WebhookAttempt,
  { output }: OutputOption,
): Promise<void> {
  if (output === 'json') return session.printJson(attempt)
  const { tableOf } = await import('./table.ts')
  const rows = Object.entries(attempt).map(([name, value]) => [name, value ?? '-'])
  await session.print(tableOf(['Parameter', 'Value'], rows))
}

export async function printAttempts(
  session: Printing,
  attempts: readonly WebhookAttempt[],
  { output }: OutputOption,
): Promise<void> {
  if (output === 'json') return session.printJson(attempts)
  const { tableOf } = await import('./table.ts')
  const rows = attempts.map((one) => [
    ...[one.at, one.cursor ?? '-', one.type, one.attempt, one.outcome],
    ...[one.status ?? '-', `${one.latency_ms} ms`, one.error ?? one.answer ?? ''],
  ])
  const head = ['At', 'Cursor', 'Type', 'Attempt', 'Outcome', 'Status', 'Latency', 'Said']
  await session.print(tableOf(head, rows, session.stdout.columns))
}

export async function printParked(
  session: Printing,
  parked: readonly ParkedDelivery[],
  { output }: OutputOption,
): Promise<void> {
  if (output === 'json') return session.printJson(parked)
  const { tableOf } = await import('./table.ts')
  const rows = parked.map((one) => [one.cursor, one.type, one.uuid, one.attempts, one.since, one.error ?? ''])
  const head = ['Cursor', 'Type', 'UUID', 'Attempts', 'Since', 'Error']
  await session.print(tableOf(head, rows, session.stdout.columns))
}
