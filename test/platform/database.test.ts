import process from 'node:process'
import { sql } from 'drizzle-orm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { openDatabase, querying } from '../../services/platform/database.ts'
import { withPostgres } from '../support/database.ts'
import { freeze } from '../support/freeze.ts'

const MAX = 3

test('connections that went silent are given up with all that waits for them, and others take their place', () =>
  withPostgres(async ({ url }) => {
    const { db, close } = openDatabase(url, { max: MAX, name: 'test', mostSilenceMs: 3_000 })
    const pidOf = async () => {
      const [row] = await querying('ask', () =>
        db.execute<{ pid: number; at: string }>(
          sql`select pg_backend_pid() as pid, ${new Date(0).toISOString()}::timestamptz as at from pg_sleep(0.1)`,
        ),
      )
      return row?.pid ?? 0
    }
    const pids = new Set(await Promise.all(Array.from({ length: MAX }, pidOf)))
    assert.is(pids.size, MAX)
    await Promise.all([...pids].map(freeze))
    try {
      const silent = await Promise.all(Array.from({ length: 3 * MAX }, () => pidOf().catch((thrown) => thrown)))
      for (const error of silent) {
        assert.ok(isFaafoError(error, 'database-unavailable'))
        assert.is(error.details.reason, 'the database does not answer')
      }
      assert.not.ok(pids.has(await pidOf()))
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGCONT')
      await close()
    }
  }))

test('a statement that is answered in time keeps its connection', () =>
  withPostgres(async ({ url }) => {
    const { db, close } = openDatabase(url, { max: 1, name: 'test', mostSilenceMs: 3_000 })
    try {
      const pids = new Set<unknown>()
      for (let i = 0; i < 4; i++) {
        const [row] = await db.execute(sql`select pg_backend_pid() as pid from pg_sleep(1)`)
        pids.add(row?.pid)
      }
      assert.is(pids.size, 1)
    } finally {
      await close()
    }
  }))

test.run()
