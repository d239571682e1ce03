import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Db, openDatabase } from '../../services/platform/database.ts'
import { createLogger } from '../../services/platform/logger.ts'
import { migrateDatabase } from '../../services/platform/migrate.ts'
import { webhookAttempt } from '../../services/platform/schema.ts'
import {
  ATTEMPTS_KEPT,
  ATTEMPTS_KEPT_DAYS,
  type Attempt,
  recentAttempts,
} from '../../services/platform/webhook-attempts.ts'
import { createAttemptLog } from '../../services/subscribers/attempt-log.ts'
import { withPostgres } from '../support/database.ts'
import { until } from '../support/until.ts'

const logger = createLogger('test', { logLevel: 'silent' })
const DAY_MS = 86_400_000

const attempt = (webhook: string, at = Date.now()): Attempt => ({
  ...{ webhook, at, eventId: v4(), cursor: '1-0', type: 'TaskRequested', fractal: v4(), attempt: 1 },
  ...{ status: 204, latencyMs: 5, outcome: 'delivered', error: null, answer: '' },
})

const withTables = (use: (db: Db) => Promise<void>) =>
  withPostgres(async ({ url }) => {
    const { db, close } = openDatabase(url, { max: 1, name: 'test' })
    try {
      await migrateDatabase(db)
      await use(db)
    } finally {
      await close()
    }
  })

/** What the log holds of each webhook, the newest first, once all of these were noted and it ended. */
async function logOf(attempts: readonly Attempt[]): Promise<Map<string, Attempt[]>> {
  const found = new Map<string, Attempt[]>()
  await withTables(async (db) => {
    const stop = new AbortController()
    const log = createAttemptLog(db, logger, stop.signal)
    for (const one of attempts) log.note(one)
    stop.abort()
    await log.ended
    for (const { webhook } of attempts) found.set(webhook, await recentAttempts(db, webhook, 10_000))
  })
  return found
}

test('of each webhook the newest attempts are kept', async () => {
  const [busy, quiet] = [v4(), v4()]
  const many = Array.from({ length: 2 * ATTEMPTS_KEPT }, () => attempt(busy))
  const one = attempt(quiet)
  const kept = await logOf([one, ...many])
  assert.equal(kept.get(busy), many.slice(-ATTEMPTS_KEPT).reverse())
  assert.equal(kept.get(quiet), [one])
})

test('attempts go after some weeks, those of webhooks that send nothing any more among them', async () => {
  const [deleted, active] = [v4(), v4()]
  const old = Date.now() - (ATTEMPTS_KEPT_DAYS + 1) * DAY_MS
  const newer = attempt(active, Date.now() - (ATTEMPTS_KEPT_DAYS - 1) * DAY_MS)
  const kept = await logOf([attempt(deleted, old), attempt(active, old), newer])
  assert.equal(kept.get(deleted), [])
  assert.equal(kept.get(active), [newer])
})

test('attempts go after some weeks where nothing is attempted any more, too', () =>
  withTables(async (db) => {
    const webhook = v4()
    const old = Date.now() - (ATTEMPTS_KEPT_DAYS + 1) * DAY_MS
    await db.insert(webhookAttempt).values({ ...attempt(webhook), at: new Date(old) })
    const stop = new AbortController()
    const { ended } = createAttemptLog(db, logger, stop.signal)
    try {
      await until(async () => (await recentAttempts(db, webhook, 1)).length === 0, { what: 'it is deleted' })
    } finally {
      stop.abort()
      await ended
    }
  }))

test.run()
