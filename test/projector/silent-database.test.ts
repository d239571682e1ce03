import process from 'node:process'
import { test } from 'uvu'
import { withPostgres } from '../support/database.ts'
import { freeze } from '../support/freeze.ts'
import { until } from '../support/until.ts'
import { requested, withProjection } from './with-projection.ts'

test('a projector whose connections went silent says so and goes on with others', () =>
  withProjection(withPostgres, async (p) => {
    const projector = p.start({ mostSilenceMs: 3_000 })
    await p.append(requested())
    await p.caughtUp()
    const rows = await p.parts.db.execute<{ pid: number }>(
      `select pid from pg_stat_activity where application_name = 'projector'`,
    )
    const pids = rows.map(({ pid }) => pid)
    await Promise.all(pids.map(freeze))
    try {
      await p.append(requested())
      await until(() => projector.said('projecting interrupted', /^the database does not answer$/), {
        what: 'it says what it waits for',
      })
      await p.caughtUp()
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGCONT')
    }
    await p.append(requested())
    await p.caughtUp()
    await p.equalsLog()
  }))

test.run()
