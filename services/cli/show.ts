import type { Command } from 'commander'
import { addOutputOption, type OutputOption } from './output.ts'
import { momentText } from './replay-tail.ts'
import { about, inSession, parseUuid, type Session, type Surroundings } from './session.ts'

export function addShow(program: Command, surroundings: Surroundings): void {
  const command = program
    .command('show')
    .summary('show one fractal')
    .description('Shows what is known of one fractal.')
    .argument('<uuid>')
    .option('--as-of <moment>', 'as it was at a cursor or a time', momentText)
  addOutputOption(command)
    .addHelpText(
      'after',
      `
Examples:
  $ faafo show 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11
  $ faafo show 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11 --output json
  $ faafo show 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11 --as-of 2026-01-31T12:00:00Z`,
    )
    .action((uuid: string, options: ShowOptions, self: Command) =>
      inSession(self, surroundings, (session) => show(session, parseUuid(uuid), options)),
    )
}

type ShowOptions = OutputOption & { asOf?: string }

async function show(session: Session, uuid: string, { output, asOf }: ShowOptions): Promise<void> {
  const answer = session.client.get(uuid, { asOf, signal: session.signal })
  const fractal = await (asOf === undefined ? about(uuid, answer) : answer)
  if (output === 'json') await session.printJson(fractal)
  else await session.print((await import('./table.ts')).fractalTable(fractal))
}
