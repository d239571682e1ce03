import process from 'node:process'
import { v4 } from 'uuid'
import type { WebhookCommand, WebhookSettings } from '../../events/webhook.ts'
import { type Broker, openBroker } from '../../services/platform/broker.ts'
import { type Db, openDatabase } from '../../services/platform/database.ts'
import { identify } from '../../services/platform/identity.ts'
import { createLog, type Log } from '../../services/platform/log.ts'
import { createLogger, type Logger } from '../../services/platform/logger.ts'
import { migrateDatabase } from '../../services/platform/migrate.ts'
import { sayLook } from '../../services/platform/webhook-asks.ts'
import { changeWebhook, createWebhook, type Webhooks, webhooksOf } from '../../services/platform/webhooks.ts'
import { createGuard } from '../../services/subscribers/guard.ts'
import { type Schedule, usualSchedule } from '../../services/subscribers/schedule.ts'
import { createSender } from '../../services/subscribers/send.ts'
import { runSubscribers, type SubscribersParts } from '../../services/subscribers/subscribers.ts'
import { type Broker as BrokerServer, withBroker } from '../support/broker.ts'
import { type Child, startOurs } from '../support/child.ts'
import { withPostgres } from '../support/database.ts'
import { generateLog } from '../support/generated-log.ts'
import { type Receiver, withReceiver } from '../support/hook-receiver.ts'
import { brokerConfigOf } from '../support/read-model.ts'

export type SubscribersHere = { stop(): Promise<void> }

export type Hooks = {
  server: BrokerServer
  broker: Broker
  log: Log
  db: Db
  logger: Logger
  webhooks: Webhooks
  receiver: Receiver
  /** In this process, with a connection of its own; ended with the test. */
  start(changes?: Partial<SubscribersParts>): Promise<SubscribersHere>
  /** A process of its own; ended with the test. */
  startProcess(): Promise<Child>
  /** Gives its id and its secret. It begins with everything that the log has. */
  create(
    url: string,
    more?: Partial<WebhookSettings & { after: string; secret: string }>,
  ): Promise<{ id: string; secret: string }>
  /** As an api does it. */
  change(id: string, command: Exclude<WebhookCommand, { type: 'create' }>): Promise<void>
  /** Appends so many events, a multiple of 3: whole lives of fractals. */
  happen(count: number): Promise<void>
}

/** So many events that many are in hand at once, and few enough to wait for. */
export const SOME = 30
/** A schedule that a test can wait for. */
export const quick: Schedule = { firstPauseMs: 20, longestPauseMs: 100, parkAfterMs: 300, pauseAfterMs: 60_000 }

/** Gives `use` a broker, a database, a receiver, and subscribers as they are asked for. */
export const withHooks = (use: (hooks: Hooks) => Promise<void>): Promise<void> =>
  withBroker((server) =>
    withPostgres((database) =>
      withReceiver((receiver) => runHooks(use, { server, databaseUrl: database.url, receiver })),
    ),
  )

async function runHooks(
  use: (hooks: Hooks) => Promise<void>,
  { server, databaseUrl, receiver }: { server: BrokerServer; databaseUrl: string; receiver: Receiver },
): Promise<void> {
  const logger = createLogger('test', { logLevel: process.env.LOG_LEVEL ?? 'silent', logFormat: 'json' })
  const broker = openBroker(brokerConfigOf(server.url), 'test', logger)
  const { db, close } = openDatabase(databaseUrl, { max: 4, name: 'test' })
  const webhooks = webhooksOf(broker)
  const running: SubscribersHere[] = []
  const children: Child[] = []
  const append = (event: Parameters<Parameters<typeof createWebhook>[3]>[0]) =>
    webhooks.append(identify(event, '/test'))
  try {
    await broker.ready
    await migrateDatabase(db)
    await use({
      ...{ server, broker, log: createLog(broker), db, logger, webhooks, receiver },
      async start(changes = {}) {
        const own = openBroker(brokerConfigOf(server.url), 'subscribers', logger)
        await own.ready
        const stop = new AbortController()
        const parts = {
          ...{ broker: own, log: createLog(own), webhooks: webhooksOf(own), db, logger, source: '/subscribers/test' },
          ...{ schedule: usualSchedule, random: Math.random, sender: createSender(createGuard(['127.0.0.1'])) },
          ...changes,
        }
        const ended = runSubscribers(parts, stop.signal)
        const here = {
          async stop() {
            stop.abort()
            await ended
            await own.close()
          },
        }
        running.push(here)
        return here
      },
      async startProcess() {
        const child = await startOurs('services/subscribers/main', [], {
          env: {
            ...process.env,
            ...{ NATS_URL: server.url, DATABASE_URL: databaseUrl, WEBHOOK_TARGETS: '127.0.0.1', LOG_LEVEL: 'info' },
          },
        })
        children.push(child)
        return child
      },
      async create(url, more = {}) {
        const id = v4()
        const asked = { url, description: '', types: [], status: [], uuid: [], after: '0', ...more }
        const { secret } = await createWebhook(webhooks, id, asked, append)
        sayLook(broker, id)
        return { id, secret }
      },
      async change(id, command) {
        await changeWebhook(webhooks, id, command, append)
        sayLook(broker, id)
      },
      happen: (count) => generateLog(server.url, count),
    })
  } finally {
    await Promise.all(running.map((here) => here.stop().catch(() => {})))
    await Promise.all(children.map((child) => (child.ended() ? undefined : child.end('SIGKILL'))))
    await broker.close()
    await close()
  }
}
