import { spawn } from 'node:child_process'
import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCheckpoint } from '../../services/platform/checkpoint.ts'
import { withBroker } from '../support/broker.ts'
import { compareWithLog } from '../support/compare-with-log.ts'
import { withPostgres } from '../support/database.ts'
import { generateLog } from '../support/generated-log.ts'
import { launcher } from '../support/project.ts'
import { withReadModel } from '../support/read-model.ts'
import { withSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

/*
 * A rebuild while requests come at a steady rate and readers poll. With as many as one may have:
 * REBUILD_EVENTS=999999 REBUILD_RATE=200 npx tsx test/flow/rebuild-under-load.test.ts
 */
const EVENTS = Number(process.env.REBUILD_EVENTS ?? 9_000)
const RATE = Number(process.env.REBUILD_RATE ?? 50)
const READERS = 4
const picture = { width: 64, height: 48, iterations: 64, xa: -2, xb: 2, ya: -1.5, yb: 1.5, cx: -0.4, cy: 0.6 }

test('while a rebuild runs requests are taken at their rate, no read fails or finds half a table, and none is missing afterwards', () =>
  withBroker((server) =>
    withPostgres(async (database) => {
      await generateLog(server.url, EVENTS)
      const urls = { NATS_URL: server.url, DATABASE_URL: database.url }
      await withSystem(
        async ({ apiUrl }) => {
          const ask = async (init?: RequestInit) => {
            const answer = await fetch(`${apiUrl}/v1/fractal?results_per_page=1`, init)
            if (!answer.ok) throw new Error(`answered ${answer.status}: ${await answer.text()}`)
            return (await answer.json()) as { num_results: number }
          }
          const listed = async (): Promise<number> => (await ask()).num_results
          const request = () =>
            ask({ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(picture) })
          const before = EVENTS / 3
          await until(async () => (await listed()) === before, { what: 'the table knows all', withinMs: 600_000 })

          let over = false
          const requesting = requestAtRate(request, () => over)
          const reading = Promise.all(
            Array.from({ length: READERS }, async () => {
              let [least, reads, longest] = [before, 0, 0]
              for (; !over; reads++) {
                const startedAt = performance.now()
                const found = await listed()
                longest = Math.max(longest, performance.now() - startedAt)
                assert.ok(found >= least, `${found} fractals, after ${least}`)
                least = found
              }
              return { reads, longest }
            }),
          )
          reading.catch(() => {}) // thrown once it is awaited

          const startedAt = performance.now()
          const child = spawn(process.execPath, [launcher, 'replay', 'rebuild'], {
            env: { PATH: process.env.PATH ?? '', ...urls },
            stdio: ['ignore', 'inherit', 'inherit'],
          })
          const code = await new Promise((done) => child.once('exit', done))
          const seconds = (performance.now() - startedAt) / 1000
          over = true
          const requests = await requesting
          const readers = await reading
          assert.is(code, 0)
          console.log(
            `${EVENTS} events in ${seconds.toFixed(1)} s; meanwhile ${(requests.taken / seconds).toFixed(0)} requests/s,`,
            `${readers.reduce((sum, { reads }) => sum + reads, 0)} reads,`,
            `the longest ${Math.max(...readers.map(({ longest }) => longest)).toFixed(0)} ms`,
          )
          assert.equal(requests.failures, [])

          await until(async () => (await listed()) === before + requests.taken, { what: 'all are in the table' })
          await withReadModel({ natsUrl: server.url, databaseUrl: database.url }, async (parts) => {
            assert.ok(((await readCheckpoint(parts.db))?.epoch ?? 0) > 0, 'another table has taken over')
            assert.equal((await compareWithLog(parts)).differences, [])
          })
        },
        { env: { ...urls, WORKERS: '0', LOG_LEVEL: 'error' } },
      )
    }),
  ))

/** RATE a second, whether or not those before were answered. */
async function requestAtRate(request: () => Promise<unknown>, isOver: () => boolean) {
  const startedAt = performance.now()
  const failures: string[] = []
  const running = new Set<Promise<void>>()
  let begun = 0
  let taken = 0
  while (!isOver()) {
    for (const due = ((performance.now() - startedAt) / 1000) * RATE; begun < due; begun++) {
      const answered = request()
        .then(
          () => void taken++,
          (error) => void failures.push(String(error)),
        )
        .finally(() => running.delete(answered))
      running.add(answered)
    }
    await new Promise((done) => setTimeout(done, 5))
  }
  await Promise.all(running)
  return { taken, failures }
}

test.run()
