import { lt, sql } from 'drizzle-orm'
import { messageOf } from '../../events/errors.ts'
import { type Db, querying } from '../platform/database.ts'
import type { Logger } from '../platform/logger.ts'
import { webhookAttempt } from '../platform/schema.ts'
import { pause } from '../platform/shutdown.ts'
import { ATTEMPTS_KEPT, ATTEMPTS_KEPT_DAYS, type Attempt } from '../platform/webhook-attempts.ts'

/*
 * Attempts as they can be looked at: in the database, the newest of each webhook. Nothing depends on it: where the
 * database is away or does not keep up, the oldest that were not written yet are left out.
 */

export type AttemptLog = {
  note(attempt: Attempt): void
  /** Writes what is there, once `stop` has fired. */
  ended: Promise<void>
}

const WRITE_MS = 250
const AGAIN_MS = 2_000
const MOST_AT_ONCE = 500
const MOST_KEPT = 5_000
/** A webhook's oldest are deleted once so many came. */
const TRIM_EVERY = 50
/** How often those of all webhooks are looked for that are too old. */
const SWEEP_MS = 3_600_000

export function createAttemptLog(db: Db, logger: Logger, stop: AbortSignal): AttemptLog {
  const queue: Attempt[] = []
  /** Of each webhook: how many came since its oldest were deleted. */
  const came = new Map<string, number>()
  let left = 0
  let sweptAt = Number.NEGATIVE_INFINITY

  async function write(): Promise<void> {
    if (queue.length === 0 && Date.now() < sweptAt + SWEEP_MS) return
    while (queue.length > 0) {
      const some = queue.splice(0, MOST_AT_ONCE)
      const rows = some.map((attempt) => ({ ...attempt, at: new Date(attempt.at) }))
      try {
        await querying('write attempts', () => db.insert(webhookAttempt).values(rows))
      } catch (error) {
        queue.unshift(...some)
        throw error
      }
      for (const { webhook } of some) came.set(webhook, (came.get(webhook) ?? 0) + 1)
    }
    for (const [webhook, count] of came) {
      if (count < TRIM_EVERY) continue
      await trim(db, webhook)
      came.delete(webhook)
    }
    if (Date.now() < sweptAt + SWEEP_MS) return
    await sweep(db)
    sweptAt = Date.now()
  }

  async function run(): Promise<void> {
    for (let tries = 0; !stop.aborted; ) {
      await pause(tries === 0 ? WRITE_MS : AGAIN_MS, stop)
      try {
        await write()
        tries = 0
      } catch (error) {
        if (tries++ % 30 === 0 && queue.length > 0) logger.warn({ reason: messageOf(error) }, 'attempts not written')
      }
    }
    if (queue.length > 0) await write().catch(() => {})
  }

  return {
    note(attempt) {
      queue.push(attempt)
      if (queue.length <= MOST_KEPT) return
      queue.splice(0, MOST_AT_ONCE)
      if (left++ % 100 === 0)
        logger.warn({ attempts: MOST_AT_ONCE }, 'attempts left out: the database does not keep up')
    },
    ended: run(),
  }
}

const trim = (db: Db, webhook: string) =>
  querying('delete old attempts', () =>
    db.delete(webhookAttempt).where(
      sql`${webhookAttempt.webhook} = ${webhook} and ${webhookAttempt.id} <= (
        select id from webhook_attempt where webhook = ${webhook} order by id desc offset ${ATTEMPTS_KEPT} limit 1)`,
    ),
  )

const sweep = (db: Db) =>
  querying('delete old attempts', () =>
    db.delete(webhookAttempt).where(lt(webhookAttempt.at, new Date(Date.now() - ATTEMPTS_KEPT_DAYS * 86_400_000))),
  )
