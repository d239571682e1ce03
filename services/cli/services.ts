import { type Command, Option } from 'commander'
import { inSession, type Session, type Surroundings } from './session.ts'

type Service = { name: string; summary: string; description: string; run: () => Promise<unknown> }

/** Each main.ts runs when it is imported, takes the signals itself and ends the process. */
const services: Service[] = [
  {
    name: 'up',
    summary: 'run everything on this machine',
    description:
      'Runs everything on this machine: an embedded broker and database (unless NATS_URL or DATABASE_URL name others), the api, workers, the projector, an operator and one that delivers to webhooks. Ctrl-C stops it all.',
    run: () => import('../up/main.ts'),
  },
  {
    name: 'api',
    summary: 'run one api',
    description: 'Runs one api on HOST and PORT, against NATS_URL, DATABASE_URL and STORAGE_URL.',
    run: () => import('../api/main.ts'),
  },
  {
    name: 'worker',
    summary: 'run one worker',
    description: 'Runs one worker with RENDER_THREADS threads, against NATS_URL and STORAGE_URL.',
    run: () => import('../worker/main.ts'),
  },
  {
    name: 'projector',
    summary: 'run one projector',
    description: 'Runs one projector, against NATS_URL and DATABASE_URL. A second one is a standby.',
    run: () => import('../projector/main.ts'),
  },
  {
    name: 'operator',
    summary: 'run one operator',
    description: 'Runs one operator, which carries out bulk operations, against NATS_URL and DATABASE_URL.',
    run: () => import('../operator/main.ts'),
  },
  {
    name: 'subscribers',
    summary: 'run one that delivers to webhooks',
    description:
      'Delivers events to webhooks, against NATS_URL and DATABASE_URL. Several share the webhooks among them. WEBHOOK_TARGETS lists hosts, addresses and networks, with commas between, that may be sent to although they are not public, or over http.',
    run: () => import('../subscribers/main.ts'),
  },
]

const examples: Record<string, string> = {
  up: '$ faafo up\n  $ PORT=8090 DATA_DIR=/var/lib/faafo WORKERS=2 faafo up',
  api: '$ NATS_URL=nats://broker:4222 DATABASE_URL=postgres://faafo:secret@db/faafo STORAGE_URL=nats-object:images faafo api',
  worker: '$ NATS_URL=nats://broker:4222 STORAGE_URL=nats-object:images WORKER_NAME=worker-1 faafo worker',
  projector: '$ NATS_URL=nats://broker:4222 DATABASE_URL=postgres://faafo:secret@db/faafo faafo projector',
  operator: '$ NATS_URL=nats://broker:4222 DATABASE_URL=postgres://faafo:secret@db/faafo faafo operator',
  subscribers:
    '$ NATS_URL=nats://broker:4222 DATABASE_URL=postgres://faafo:secret@db/faafo WEBHOOK_TARGETS=hooks.internal,10.1.0.0/16 faafo subscribers',
}

/** `up`, `api`, `worker`, `projector`, `operator`, `subscribers` and `migrate`. */
export function addServices(program: Command, surroundings: Surroundings): void {
  for (const { name, summary, description, run } of services) {
    program
      .command(name)
      .summary(summary)
      .description(description)
      .addOption(new Option('--supervised', 'end when standard input does').hideHelp())
      .addHelpText('after', `\nExamples:\n  ${examples[name]}`)
      .action(async () => {
        await run()
      })
  }
  program
    .command('migrate')
    .summary("bring the database to this version's schema")
    .description(
      "Brings the database of DATABASE_URL, or of the faafo up that runs on DATA_DIR, to this version's schema. Services do so by themselves when they start.",
    )
    .addHelpText(
      'after',
      '\nExamples:\n  $ faafo migrate\n  $ DATABASE_URL=postgres://faafo:secret@db/faafo faafo migrate',
    )
    .action((_options: unknown, self: Command) => inSession(self, surroundings, migrate, { changes: true }))
}

async function migrate({ env, say }: Session): Promise<void> {
  const { findInstallation, withDatabase } = await import('./installation.ts')
  const { migrateDatabase } = await import('../platform/migrate.ts')
  await withDatabase(await findInstallation(env), 'migrate', migrateDatabase)
  say('the database is up to date')
}
