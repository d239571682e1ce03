import { Webhook } from 'standardwebhooks'
import type { Secret } from '../platform/webhook-store.ts'

/** What is posted: its id stays the same over all tries. */
export type Post = { id: string; body: string }

/** The headers of Standard Webhooks: a signature by each secret that is valid at `now` (Unix milliseconds). */
export function signed({ id, body }: Post, secrets: readonly Secret[], now: number): Record<string, string> {
  const at = new Date(now)
  const valid = secrets.filter(({ until }) => until === null || until > now)
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(now / 1_000)),
    'webhook-signature': valid.map(({ secret }) => new Webhook(secret).sign(id, at, body)).join(' '),
  }
}
