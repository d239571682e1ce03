import process from 'node:process'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Client, createClient } from '../../services/cli/client.ts'
import { readLog, startOfLog } from '../../services/platform/log-reader.ts'
import { callTheRoll } from '../../services/platform/roll-call.ts'
import { compareWithLog } from '../support/compare-with-log.ts'
import { withReadModel } from '../support/read-model.ts'
import { type System, withSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

/*
 * One operation on many fractals, whose operator is killed half-way. To do it with as many as one may have:
 * BULK_TASKS=50000 npx tsx test/flow/bulk.test.ts
 */
const TASKS = Number(process.env.BULK_TASKS ?? 1_500)
const IN_A_BATCH = 250
const picture = { width: 64, height: 48, iterations: 64, xa: -2, xb: 2, ya: -1.5, yb: 1.5, cx: -0.4, cy: 0.6 }

test('a bulk cancel whose operator is killed half-way goes on, and every fractal is cancelled exactly once', () =>
  withSystem(
    async (system) => {
      const client = createClient({ endpoint: system.apiUrl })
      for (let made = 0; made < TASKS; made += IN_A_BATCH) await requestAll(client, Math.min(IN_A_BATCH, TASKS - made))
      const filters = [{ name: 'status', op: '==', val: 'requested' }]
      await until(async () => (await client.operations.count({ action: 'cancel', filters })) === TASKS, {
        what: 'the table knows them all',
        withinMs: 120_000,
      })

      // No faster than leaves time to kill it half-way.
      const startedAt = Date.now()
      const { id } = await client.operations.begin({ action: 'cancel', filters, rate: TASKS / 6 })
      const killed = await killHalfWay(system, async () => (await client.operations.get(id)).counts.changed)
      console.log(`killed after ${killed} of ${TASKS}, ${Date.now() - startedAt} ms`)
      const operation = await client.operations.waitFor(id, { patienceMs: 60_000 })
      console.log(`over after ${Date.now() - startedAt} ms`)
      assert.equal(
        [operation.status, operation.matched, operation.counts],
        ['completed', TASKS, { changed: TASKS, unchanged: 0, unreadable: 0 }],
      )

      const q = { filters: [{ name: 'status', op: '==', val: 'cancelled' }] }
      await until(async () => (await client.list({ q, resultsPerPage: 1 })).num_results === TASKS, {
        what: 'the table shows them all as cancelled',
        withinMs: 120_000,
      })
      await withReadModel(system, async (parts) => {
        const { signal } = new AbortController()
        await until(
          async () => (await callTheRoll(parts.broker, 1_000, signal)).some(({ service }) => service === 'operator'),
          { what: 'the new operator answers the roll call' },
        )
        const cancelled = new Map<string, number>()
        const requested = new Set<string>()
        const read = new AbortController()
        const { lastSeq } = await parts.log.head()
        assert.is(lastSeq, 2 * TASKS)
        for await (const batch of readLog(parts, { from: startOfLog, signal: read.signal })) {
          for (const { type, fractal, causationid } of batch) {
            if (type === 'TaskRequested') requested.add(fractal)
            else assert.equal([type, causationid], ['TaskCancelled', operation.event_id])
            if (type === 'TaskCancelled') cancelled.set(fractal, (cancelled.get(fractal) ?? 0) + 1)
          }
          if (batch.at(-1)?.seq === lastSeq) read.abort()
        }
        assert.equal([requested.size, cancelled.size], [TASKS, TASKS])
        assert.ok([...cancelled].every(([uuid, times]) => times === 1 && requested.has(uuid)))
        assert.equal((await compareWithLog(parts)).differences, [])
      })
    },
    { env: { WORKERS: '0', LOG_LEVEL: 'error' } },
  ))

/** Asks until every one is recorded, with the same uuids: a busy machine may say that it is not sure. */
async function requestAll(client: Client, count: number): Promise<void> {
  let open = Array.from({ length: count }, () => ({ uuid: v4(), ...picture }))
  await until(
    async () => {
      const { items } = await client.batch(open)
      open = open.filter((_, i) => (items[i]?.status ?? 500) >= 500)
      return open.length === 0
    },
    { what: 'all are recorded', withinMs: 120_000 },
  )
}

/** kill -9 of the operator once half of them are done; resolves to how many were said to be done by then. */
async function killHalfWay(system: System, changed: () => Promise<number>): Promise<number> {
  let seen = 0
  await until(
    async () => {
      seen = await changed()
      return seen >= TASKS / 2
    },
    { what: () => `half of them are cancelled: ${seen}`, withinMs: 600_000, everyMs: 50 },
  )
  for (const pid of await system.pids('operator')) process.kill(pid, 'SIGKILL')
  assert.ok(seen < TASKS)
  return seen
}

test.run()
