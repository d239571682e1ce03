import { statusAfter } from '../../events/status-after.ts'
import type { WebhookSettings } from '../../events/webhook.ts'
import type { FeedEvent } from '../platform/feed.ts'

/** Whether an event is one that the webhook asks for. */
export function wanting({ types, status, uuid }: WebhookSettings): (event: FeedEvent) => boolean {
  const [kinds, states, fractals] = [types, status, uuid].map((list) => (list.length > 0 ? new Set(list) : null))
  const leadsTo = (event: FeedEvent) => statusAfter[event.type as keyof typeof statusAfter]
  return (event) =>
    (!kinds || kinds.has(event.type)) &&
    (!fractals || fractals.has(event.fractal)) &&
    (!states || states.has(leadsTo(event)))
}
