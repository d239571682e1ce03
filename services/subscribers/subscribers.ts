import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type { WebhookCommand } from '../../events/webhook.ts'
import type { Broker } from '../platform/broker.ts'
import type { Db } from '../platform/database.ts'
import { createFeed } from '../platform/feed.ts'
import { createGate } from '../platform/gate.ts'
import { identify } from '../platform/identity.ts'
import { openKeyValue } from '../platform/key-value.ts'
import type { Log } from '../platform/log.ts'
import type { Logger } from '../platform/logger.ts'
import { answerPings, onLook, sayLook } from '../platform/webhook-asks.ts'
import { changeWebhook, type Webhooks } from '../platform/webhooks.ts'
import { createAttemptLog } from './attempt-log.ts'
import { createEndpoints } from './endpoints.ts'
import { runMembership } from './membership.ts'
import { ping } from './ping.ts'
import type { Schedule } from './schedule.ts'
import type { Sender } from './send.ts'

export type SubscribersParts = {
  broker: Broker
  log: Log
  webhooks: Webhooks
  sender: Sender
  db: Db
  logger: Logger
  source: string
  schedule: Schedule
  random: () => number
}

const BEGIN_AT_ONCE = 32
const SEND_AT_ONCE = 256
/** What is not answered by then is waited for apart from these. */
const ANSWER_MS = 1_000

/** Delivers its share of the webhooks until `stop` fires. */
export async function runSubscribers(parts: SubscribersParts, stop: AbortSignal): Promise<void> {
  const { broker, log, webhooks, sender, logger, source } = parts
  const me = randomUUID()
  const ended = new AbortController()
  setMaxListeners(0, stop, ended.signal)
  const attempts = createAttemptLog(parts.db, logger, ended.signal)
  const { note } = attempts

  async function command(id: string, command: Exclude<WebhookCommand, { type: 'create' }>): Promise<void> {
    await changeWebhook(webhooks, id, command, (event, cause) =>
      webhooks.append(identify(event, source, cause === undefined ? {} : { causationid: cause, correlationid: cause })),
    )
    sayLook(broker, id)
  }

  const endpoints = createEndpoints(webhooks, {
    ...{ feed: createFeed({ broker, log, logger }, ended.signal), log, names: broker.names, store: webhooks.store },
    ...{ me, sender, note, logger, command, schedule: parts.schedule, random: parts.random },
    gate: createGate(BEGIN_AT_ONCE),
    sending: createGate(SEND_AT_ONCE, ANSWER_MS),
  })
  onLook(broker, endpoints.look, stop)
  answerPings(broker, (id) => ping({ webhooks, sender, note, source }, id, stop), stop)
  const keyValue = openKeyValue(broker, broker.names.webhookPositions)
  try {
    await Promise.all([
      endpoints.run(stop),
      runMembership({ keyValue, me, logger, hold: endpoints.hold }, stop).catch((error) => {
        logger.warn({ err: error }, 'share not given back: others take it in some seconds')
      }),
    ])
  } finally {
    ended.abort()
    await attempts.ended
    sender.close()
  }
}
