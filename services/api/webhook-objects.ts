import type { EventType } from '../../events/events.ts'
import type { Webhook } from '../../events/webhook.ts'
import type { Attempt } from '../platform/webhook-attempts.ts'
import { dealtWith, type ParkedDelivery as Parked } from '../platform/webhook-store.ts'
import type { Api } from './api.ts'
import type { ParkedDelivery, WebhookAttempt, WebhookObject } from './webhook-schemas.ts'

/* Webhooks, what was sent and what was given up, as the api shows them. */

/** As it is when it was just created, whatever became of it since. */
export const createdObjectOf = (webhook: Webhook): WebhookObject => ({
  ...toldByEvents(webhook),
  ...{ cursor: webhook.start.after, parked: 0, secrets: 1 },
})

/** With what the broker keeps beside its events. Throws `log-unavailable`. */
export async function objectOf({ webhooks: { store } }: Api, webhook: Webhook): Promise<WebhookObject> {
  const { id, start, isLost } = webhook
  const [{ value: position }, parked, secrets] = await Promise.all([
    store.position(id),
    store.parked(id),
    store.secrets(id, Date.now()),
  ])
  // Who delivers has not yet begun again where it is to begin.
  const isBehind = position !== null && position.start < start.version
  return {
    ...toldByEvents(webhook),
    cursor: position === null || isLost ? null : isBehind ? start.after : dealtWith(position),
    parked: parked.length,
    secrets: secrets.length,
  }
}

const toldByEvents = (webhook: Webhook) => ({
  id: webhook.id,
  url: webhook.url,
  description: webhook.description,
  types: webhook.types as EventType[],
  status: webhook.status as WebhookObject['status'],
  uuid: webhook.uuid,
  state: webhook.state,
  reason: webhook.reason,
  created: timeOf(webhook.createdAt),
  updated: timeOf(webhook.updatedAt),
})

export const attemptObjectOf = (attempt: Attempt): WebhookAttempt => ({
  at: timeOf(attempt.at),
  event_id: attempt.eventId,
  cursor: attempt.cursor,
  type: attempt.type,
  uuid: attempt.fractal,
  attempt: attempt.attempt,
  status: attempt.status,
  latency_ms: attempt.latencyMs,
  outcome: attempt.outcome,
  error: attempt.error,
  answer: attempt.answer,
})

export const parkedObjectOf = ({ cursor, type, uuid, attempts, since, error }: Parked): ParkedDelivery => ({
  ...{ cursor, type, uuid, attempts, since: timeOf(since), error },
})

const timeOf = (ms: number) => new Date(ms).toISOString()
