import { randomUUID } from 'node:crypto'
import { type Command, Option } from 'commander'
import { cursorText, timeText } from './events.ts'
import { addOutputOption, type OutputOption } from './output.ts'
import { advising, inSession, type Surroundings } from './session.ts'
import {
  addSelection,
  type From,
  keyText,
  type Selection,
  secretIn,
  secretOption,
  selectionOf,
  urlText,
} from './webhook-options.ts'
import { printWebhook } from './webhook-tables.ts'

type Create = Selection & From & OutputOption & { description?: string; secretFile?: string; idempotencyKey?: string }

/** `webhook create`: one more webhook, and the secret that signs for it. */
export function addCreate(webhook: Command, surroundings: Surroundings): void {
  const create = webhook
    .command('create')
    .summary('have events posted to a URL')
    .description(
      'Has every event that matches posted to a URL, from now on, from after a cursor, or from a time on. Shows the secret that signs, once.',
    )
    .argument('<url>', 'where events are sent', urlText)
    .option('--description <text>', 'for people')
  addSelection(create)
    .option('--after <cursor>', 'begin with what comes after this cursor; 0: with everything', cursorText)
    .addOption(
      new Option('--since <time>', 'begin with what came from this time on').argParser(timeText).conflicts('after'),
    )
    .addOption(secretOption())
    .option(
      '--idempotency-key <key>',
      'any text of your own: the same request with it again makes no second one',
      keyText,
    )
  addOutputOption(create)
    .addHelpText(
      'after',
      `
Examples:
  $ faafo webhook create https://example.org/hooks
  $ faafo webhook create https://example.org/hooks --type TaskCompleted TaskFailed --after 0
  $ faafo webhook create https://example.org/hooks --output json > webhook.json`,
    )
    .action((url: string, options: Create, self: Command) =>
      inSession(
        self,
        surroundings,
        async (session) => {
          const { client, signal } = session
          const { description, after, since, idempotencyKey = randomUUID() } = options
          const asked = {
            url,
            ...(description !== undefined && { description }),
            ...selectionOf(options),
            ...(after !== undefined && { after }),
            ...(since !== undefined && { since }),
            ...(await secretIn(options)),
          }
          const created = await client.webhooks.create(asked, { signal, idempotencyKey }).catch((error) => {
            throw advising(`--idempotency-key ${idempotencyKey}`, error)
          })
          await printWebhook(session, created, options)
        },
        { changes: true },
      ),
    )
}
