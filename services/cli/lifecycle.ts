import type { Command } from 'commander'
import type { Client } from './client.ts'
import { addOutputOption, type OutputOption } from './output.ts'
import { about, advising, inSession, parseUuid, type Session, type Surroundings } from './session.ts'

type Step = {
  name: string
  summary: string
  description: string
  /** What is printed in front of the uuid. */
  done: string
  /** Resolves to what is printed as JSON. */
  run: (client: Client, uuid: string, signal: AbortSignal) => Promise<unknown>
}

const steps: Step[] = [
  {
    name: 'delete',
    summary: 'delete fractals',
    description: 'Deletes fractals for good, finished or not. One that is not there is no error.',
    done: 'deleted',
    run: (client, uuid, signal) => client.remove(uuid, { signal }).then(() => ({ uuid, outcome: 'deleted' })),
  },
  {
    name: 'cancel',
    summary: 'cancel fractals that are not finished',
    description: 'Cancels fractals that are not finished; their rendering stops.',
    done: 'cancelled',
    run: (client, uuid, signal) => client.cancel(uuid, { signal }),
  },
  {
    name: 'retry',
    summary: 'render failed or cancelled fractals again',
    description: 'Has fractals rendered again that failed, were cancelled or lost their image.',
    done: 'retrying',
    run: (client, uuid, signal) => client.retry(uuid, { signal }),
  },
]

/** `delete`, `cancel` and `retry`. */
export function addLifecycle(program: Command, surroundings: Surroundings): void {
  for (const step of steps) {
    const command = program.command(step.name).summary(step.summary).description(step.description).argument('<uuid...>')
    addOutputOption(command)
      .addHelpText(
        'after',
        `
Examples:
  $ faafo ${step.name} 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11
  $ faafo ${step.name} 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11 7c9e6679-7425-40de-944b-e07fc1f90ae7`,
      )
      .action((uuids: string[], options: OutputOption, self: Command) =>
        inSession(self, surroundings, (session) => take(step, session, uuids.map(parseUuid), options), {
          changes: true,
        }),
      )
  }
}

const take = ({ name, run, done }: Step, session: Session, uuids: string[], options: OutputOption): Promise<void> =>
  inTurn(session, uuids, options, done, (uuid) =>
    about(uuid, run(session.client, uuid, session.signal)).catch((error) => {
      throw advising(`faafo ${name} ${uuid}`, error)
    }),
  )

/** Does it with each; what fails is reported and does not keep the next from its turn. */
export async function inTurn(
  session: Session,
  ids: string[],
  { output }: OutputOption,
  done: string,
  act: (id: string) => Promise<unknown>,
): Promise<void> {
  const answers: unknown[] = []
  try {
    for (const id of ids) {
      try {
        answers.push(await act(id))
        if (output === 'table') await session.print(`${done} ${id}\n`)
      } catch (error) {
        session.report(error)
      }
    }
  } finally {
    if (output === 'json') await session.printJson(answers)
  }
}
