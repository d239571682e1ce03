import { pino } from 'pino'
import { v4 } from 'uuid'
import type { NewEvent } from '../../events/events.ts'
import { openBroker } from '../../services/platform/broker.ts'
import { readCheckpoint } from '../../services/platform/checkpoint.ts'
import { openDatabase } from '../../services/platform/database.ts'
import { identify } from '../../services/platform/identity.ts'
import { createLog, type Log } from '../../services/platform/log.ts'
import type { CheckpointRow } from '../../services/platform/schema.ts'
import type { ProjectorParts } from '../../services/projector/fold-log.ts'
import { runProjector } from '../../services/projector/projector.ts'
import { type Broker, withBroker } from '../support/broker.ts'
import { compareWithLog } from '../support/compare-with-log.ts'
import type { Database } from '../support/database.ts'
import { params, sha256 } from '../support/legal-history.ts'
import { brokerConfigOf, withReadModel } from '../support/read-model.ts'
import { until } from '../support/until.ts'

export type WithDatabase = (use: (database: Database) => Promise<void>) => Promise<void>

export type Projection = {
  server: Broker
  database: Database
  /** The test's own connections. */
  parts: ProjectorParts
  /** A projector in this process, with connections of its own. */
  start(options?: StartOptions): RunningProjector
  append(...events: NewEvent[]): Promise<void>
  /** Waits until the test's own connection is back after the broker was away. */
  reconnected(): Promise<void>
  checkpoint(): Promise<CheckpointRow>
  /** Waits until the checkpoint is at the log's end. */
  caughtUp(): Promise<void>
  /** Throws where the table is not the fold of the log. */
  equalsLog(): Promise<{ seq: number; fractals: number }>
}

type StartOptions = { mostSilenceMs?: number; decode?: Log['decode'] }

export type RunningProjector = {
  /** Whether it logged that, for that reason. */
  said(message: string, reason?: RegExp): boolean
  stop(): Promise<void>
}

/** Gives `use` a broker and a database, both empty, and ends them with every projector that was started. */
export const withProjection = (withDatabase: WithDatabase, use: (projection: Projection) => Promise<void>) =>
  withDatabase((database) =>
    withBroker((server) => {
      const urls = { natsUrl: server.url, databaseUrl: database.url }
      return withReadModel(urls, async (parts) => {
        const running = new Set<RunningProjector>()
        const checkpoint = async () => {
          const row = await readCheckpoint(parts.db)
          if (!row) throw new Error('there is no checkpoint')
          return row
        }
        try {
          await use({
            server,
            database,
            parts,
            checkpoint,
            start(options) {
              const projector = startProjector(urls, options)
              running.add(projector)
              return projector
            },
            async append(...events) {
              for (const event of events) await parts.log.append(identify(event, '/test'), { withinMs: 10_000 })
            },
            async reconnected() {
              const answers = () =>
                parts.log.head().then(
                  () => true,
                  () => false,
                )
              await until(answers, { what: 'the log answers' })
            },
            async caughtUp() {
              const isThere = async () => (await readCheckpoint(parts.db))?.seq === (await parts.log.head()).lastSeq
              await until(() => isThere().catch(() => false), {
                what: 'the projection is at the end',
                withinMs: 60_000,
              })
            },
            async equalsLog() {
              const { differences, ...rest } = await compareWithLog(parts)
              if (differences.length > 0) {
                throw new Error(`${differences.length} rows differ: ${JSON.stringify(differences.slice(0, 3))}`)
              }
              return rest
            },
          })
        } finally {
          for (const projector of running) await projector.stop()
        }
      })
    }),
  )

function startProjector(
  { natsUrl, databaseUrl }: { natsUrl: string; databaseUrl: string },
  { decode, ...options }: StartOptions = {},
): RunningProjector {
  const lines: { msg: string; reason?: string }[] = []
  const logger = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const broker = openBroker(brokerConfigOf(natsUrl), 'projector', logger)
  const database = openDatabase(databaseUrl, { max: 2, name: 'projector', ...options })
  const stop = new AbortController()
  const running = runProjector({ db: database.db, broker, log: createLog(broker, decode), logger }, stop.signal)
  return {
    said: (message, reason) => lines.some((line) => line.msg === message && (reason?.test(line.reason ?? '') ?? true)),
    async stop() {
      stop.abort()
      await running
      await broker.close()
      await database.close()
    },
  }
}

export const requested = (fractal = v4()): NewEvent<'TaskRequested'> => ({
  type: 'TaskRequested',
  fractal,
  data: { generation: 1, cause: 'created', params, chosen: ['cx', 'cy'], requestHash: sha256 },
})

/** Appends until a projector has noticed that another one is active, and that one is at the end. */
export async function oneStandsBy(p: Projection, said: () => boolean): Promise<void> {
  await until(
    async () => {
      await p.append(requested())
      return said()
    },
    { what: 'one stands by' },
  )
  await p.caughtUp()
}
