import { desc, eq } from 'drizzle-orm'
import { type Db, querying } from './database.ts'
import { webhookAttempt } from './schema.ts'

/** One try to deliver something to a webhook. */
export type Attempt = {
  webhook: string
  /** Unix milliseconds at which it was begun. */
  at: number
  eventId: string
  /** Of the event; null for a ping. */
  cursor: string | null
  type: string
  /** Of the event; null for a ping. */
  fractal: string | null
  /** From 1, for each event. */
  attempt: number
  /** HTTP status; null where there was no answer. */
  status: number | null
  latencyMs: number
  /** `refused`: not sent, since the address is none that it may be sent to. `gone`: 410, it wants no more. */
  outcome: AttemptOutcome
  error: string | null
  /** The beginning of the answer, at most 1 KiB. */
  answer: string | null
}

export const attemptOutcomes = ['delivered', 'failed', 'refused', 'gone'] as const
export type AttemptOutcome = (typeof attemptOutcomes)[number]

/** So many are kept of each webhook, about. */
export const ATTEMPTS_KEPT = 200
/** So long is any of them kept: those of webhooks that were deleted go as well. */
export const ATTEMPTS_KEPT_DAYS = 30

/** The newest first. Throws `database-unavailable`. */
export async function recentAttempts(db: Db, webhook: string, limit: number): Promise<Attempt[]> {
  const rows = await querying('read the attempts', () =>
    db
      .select()
      .from(webhookAttempt)
      .where(eq(webhookAttempt.webhook, webhook))
      .orderBy(desc(webhookAttempt.id))
      .limit(limit),
  )
  return rows.map(({ id: _, at, outcome, ...row }) => ({
    ...row,
    at: at.getTime(),
    outcome: outcome as AttemptOutcome,
  }))
}
