import { type Command, Option } from 'commander'
import { cursorText, timeText } from './events.ts'
import { inTurn } from './lifecycle.ts'
import { addOutputOption, type OutputOption } from './output.ts'
import { inSession, parseUuid, type Session, type Surroundings, usageError } from './session.ts'
import { addCreate } from './webhook-create.ts'
import {
  addChange,
  type Changes,
  changesOf,
  type From,
  secretIn,
  secretOption,
  type Which,
  whichOf,
  wholeNumber,
} from './webhook-options.ts'
import { printAttempt, printAttempts, printParked, printWebhook, printWebhooks } from './webhook-tables.ts'

const ID = '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11'

/** `webhook …`: events posted to URLs, and what came of it. */
export function addWebhook(program: Command, surroundings: Surroundings): void {
  const webhook = program
    .command('webhook')
    .summary('have events posted to a URL')
    .description(
      'Has every event that matches posted to a URL: signed (Standard Webhooks), at least once, in order for each fractal, again and again for a day where that fails.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ faafo webhook create https://example.org/hooks --status completed failed
  $ faafo webhook ping ${ID}
  $ faafo webhook attempts ${ID}
  $ faafo webhook retry ${ID} --all`,
    )

  type Act<O> = (session: Session, id: string, options: O & OutputOption) => Promise<void>
  type Shape<O> = { summary: string; description: string; example?: string; changes?: boolean; act: Act<O> }
  /** A command on one webhook; the caller adds its own options. */
  function about<O = unknown>(name: string, { summary, description, example = '', changes = true, act }: Shape<O>) {
    const command = webhook.command(name).summary(summary).description(description).argument('<id>')
    addOutputOption(command)
      .addHelpText('after', `\nExamples:\n  $ faafo webhook ${name} ${ID}${example}`)
      .action((id: string, options: O & OutputOption, self: Command) =>
        inSession(self, surroundings, (session) => act(session, parseUuid(id), options), { changes }),
      )
    return command
  }

  addCreate(webhook, surroundings)
  const list = webhook.command('list').summary('list webhooks').description('Lists webhooks, oldest first.')
  addOutputOption(list)
    .addHelpText('after', '\nExamples:\n  $ faafo webhook list\n  $ faafo webhook list --output json')
    .action((options: OutputOption, self: Command) =>
      inSession(self, surroundings, async (session) => {
        await printWebhooks(session, await session.client.webhooks.list({ signal: session.signal }), options)
      }),
    )
  about('show', {
    summary: 'show one webhook',
    description: 'Shows a webhook: what it is sent, how far it has come, and why it is paused, where it is.',
    changes: false,
    act: async (session, id, options) =>
      printWebhook(session, await session.client.webhooks.get(id, { signal: session.signal }), options),
  })
  addChange(
    about<Changes>('change', {
      summary: 'change where events are sent, or which',
      description: 'Changes a webhook; what is not given stays as it is.',
      example: ' --any-status --type TaskCompleted',
      async act(session, id, options) {
        const { client, signal } = session
        const changes = changesOf(options)
        if (Object.keys(changes).length === 0) throw usageError('cannot change it without knowing how: give an option')
        await printWebhook(session, await client.webhooks.change(id, changes, { signal }), options)
      },
    }),
  )
  about<{ reason?: string }>('pause', {
    summary: 'send nothing until it is resumed',
    description: 'Pauses a webhook: nothing is sent, and nothing is lost.',
    example: ' --reason "we move house"',
    async act(session, id, options) {
      const { client, signal } = session
      const { reason } = options
      await printWebhook(session, await client.webhooks.pause(id, { signal, ...(reason && { reason }) }), options)
    },
  }).option('--reason <text>', 'shown with the webhook')
  about('resume', {
    summary: 'go on after the last event that was dealt with',
    description: 'Resumes a webhook that is paused, or that was disabled since it answered 410.',
    act: async (session, id, options) =>
      printWebhook(session, await session.client.webhooks.resume(id, { signal: session.signal }), options),
  })
  about<{ secretFile?: string; overlap?: number }>('rotate-secret', {
    summary: 'sign with a new secret',
    description: 'Has a new secret sign, and shows it, once. The one before signs, too, for a day.',
    example: ' --overlap 3600',
    async act(session, id, options) {
      const { client, signal } = session
      const { overlap } = options
      const rotation = { ...(await secretIn(options)), ...(overlap !== undefined && { overlap }) }
      await printWebhook(session, await client.webhooks.rotateSecret(id, rotation, { signal }), options)
    },
  })
    .addOption(secretOption())
    .option('--overlap <seconds>', 'how long the secret before signs, too (default: 86400)', wholeNumber(0))
  addDelete(webhook, surroundings)
  about('ping', {
    summary: 'send a test event now',
    description: 'Sends a test event now, and shows what came of it; exit code 1 where it was not delivered.',
    async act(session, id, options) {
      const attempt = await session.client.webhooks.ping(id, { signal: session.signal })
      await printAttempt(session, attempt, options)
      const { outcome, error } = attempt
      if (outcome !== 'delivered')
        session.report(new Error(`the ping was ${said[outcome]}${error ? `: ${error}` : ''}`))
    },
  })
  about<{ limit?: number }>('attempts', {
    summary: 'what was sent lately, and what came of it',
    description: 'Lists the last attempts to deliver, newest first. What is older than some hundred is forgotten.',
    example: ' --limit 10',
    changes: false,
    async act(session, id, options) {
      const { client, signal } = session
      await printAttempts(session, await client.webhooks.attempts(id, { limit: options.limit, signal }), options)
    },
  }).option('--limit <n>', 'at most so many (default: 50)', wholeNumber(1))
  about('parked', {
    summary: 'list deliveries that were given up',
    description: 'Lists deliveries that failed for a day and were given up, in the order of the log.',
    changes: false,
    act: async (session, id, options) =>
      printParked(session, await session.client.webhooks.parked(id, { signal: session.signal }), options),
  })
  addRetry(webhook, surroundings)
  about<From>('replay', {
    summary: 'begin again from a cursor or a time',
    description: 'Begins again: what was delivered since comes once more, with the same ids.',
    example: ' --since 2026-01-31T12:00:00Z',
    async act(session, id, options) {
      const { client, signal } = session
      const { after, since } = options
      const from = after !== undefined ? { after } : since !== undefined ? { since } : undefined
      if (!from) throw usageError('cannot replay without knowing from where: give --after or --since')
      await printWebhook(session, await client.webhooks.replay(id, from, { signal }), options)
    },
  })
    .option('--after <cursor>', 'with what comes after this cursor; 0: with everything', cursorText)
    .addOption(new Option('--since <time>', 'with what came from this time on').argParser(timeText).conflicts('after'))
}

const said = { failed: 'not delivered', refused: 'refused', gone: 'answered 410' } as const

function addDelete(webhook: Command, surroundings: Surroundings): void {
  const command = webhook
    .command('delete')
    .summary('delete webhooks')
    .description('Deletes webhooks for good, with their secrets. One that was deleted before is no error.')
    .argument('<id...>')
  addOutputOption(command)
    .addHelpText('after', `\nExamples:\n  $ faafo webhook delete ${ID}`)
    .action((ids: string[], options: OutputOption, self: Command) =>
      inSession(
        self,
        surroundings,
        (session) =>
          inTurn(session, ids.map(parseUuid), options, 'deleted', async (id) => {
            await session.client.webhooks.remove(id, { signal: session.signal })
            return { id, outcome: 'deleted' }
          }),
        { changes: true },
      ),
    )
}

function addRetry(webhook: Command, surroundings: Surroundings): void {
  const retry = webhook
    .command('retry')
    .summary('try deliveries again that were given up')
    .description('Tries parked deliveries again: those of some cursors, of a fractal, or all.')
    .argument('<id>')
    .argument('[cursor...]', 'as `faafo webhook parked` lists them', (text: string, before: string[] | undefined) => [
      ...(before ?? []),
      cursorText(text),
    ])
    .option('--uuid <uuid>', 'those of this fractal')
    .addOption(new Option('--all', 'all of them').conflicts('uuid'))
  addOutputOption(retry)
    .addHelpText('after', `\nExamples:\n  $ faafo webhook retry ${ID} 42-0198c3a1\n  $ faafo webhook retry ${ID} --all`)
    .action((id: string, cursors: string[] = [], options: OutputOption & Which, self: Command) =>
      inSession(
        self,
        surroundings,
        async (session) => {
          const { client, signal } = session
          const which = whichOf(cursors, options)
          await printWebhook(session, await client.webhooks.retryParked(parseUuid(id), which, { signal }), options)
        },
        { changes: true },
      ),
    )
}
