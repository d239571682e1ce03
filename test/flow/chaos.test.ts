import { createHash } from 'node:crypto'
import process from 'node:process'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFractal } from '../../events/task.ts'
import { pause } from '../../services/platform/shutdown.ts'
import { compareWithLog } from '../support/compare-with-log.ts'
import { withReadModel } from '../support/read-model.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { type System, withSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

/*
 * A thousand requests, and twenty kills of whatever part the seed picks while they are under way. To run one seed
 * again: CHAOS_SEED=… npx tsx test/flow/chaos.test.ts
 */
const SEED = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31))
const REQUESTS = 1_000
const KILLS = 20
const CLIENTS = 8
const parts = ['worker', 'projector', 'api', 'broker', 'database'] as const

test('twenty kills among a thousand requests lose nothing and do nothing twice', () =>
  withSystem(
    async (system) => {
      console.log(`seed ${SEED}`)
      const random = seededRandom(SEED)
      const uuids = Array.from({ length: REQUESTS }, () => v4())
      const accepted = new Set<string>()
      const killing = killSome(system, random)
      const queue = [...uuids]
      await Promise.all(
        Array.from({ length: CLIENTS }, async () => {
          for (let uuid = queue.pop(); uuid !== undefined; uuid = queue.pop()) {
            await request(system.apiUrl, uuid)
            accepted.add(uuid)
          }
        }),
      )
      const killed = await killing
      console.log(`killed: ${killed.join(', ')}`)
      assert.is(accepted.size, REQUESTS)

      await withReadModel(system, async ({ db, broker, log, logger }) => {
        await until(async () => (await unfinished(system.apiUrl)) === 0, {
          what: 'every request has an outcome in the table',
          withinMs: 240_000,
          everyMs: 500,
        })
        let outcomes = 0
        for (const uuid of uuids) {
          const history = await log.history(uuid)
          const ends = history.filter((e) => ['TaskCompleted', 'TaskFailed', 'TaskCancelled'].includes(e.type))
          assert.is(ends.length, 1, `${uuid} has one outcome`)
          assert.is(ends[0]?.type, 'TaskCompleted', `${uuid}: ${JSON.stringify(ends[0]?.data)}`)
          outcomes += ends.length
        }
        assert.is(outcomes, REQUESTS)
        const comparison = await compareWithLog({ db, broker, log, logger })
        assert.equal(comparison.differences, [])
        for (const uuid of uuids) {
          const task = await log.load(uuid)
          if (!isFractal(task)) throw new Error(`${uuid} is ${task.status}`)
          const answer = await fetch(`${system.apiUrl}/fractal/${uuid}`)
          const png = new Uint8Array(await answer.arrayBuffer())
          assert.is(answer.status, 200)
          assert.is(createHash('sha256').update(png).digest('hex'), task.image?.checksum)
        }
      })
    },
    { env: { WORKERS: '2', LOG_LEVEL: 'error' } },
  ))

/** Kills with SIGKILL, spread over the time that the requests take; resolves to what was killed. */
async function killSome(system: System, random: () => number): Promise<string[]> {
  const killed: string[] = []
  while (killed.length < KILLS) {
    await pause(random() * 1_500)
    const part = parts[Math.floor(random() * parts.length)] ?? 'worker'
    const pids = await system.pids(part)
    const pid = pids[Math.floor(random() * pids.length)]
    if (pid === undefined) continue
    try {
      process.kill(pid, 'SIGKILL')
      killed.push(part)
    } catch {
      // it had just ended: the supervisor is starting it again
    }
  }
  return killed
}

/** Asks until it is answered 2xx, with the same uuid, as a client does that gets 503 or no answer. */
async function request(apiUrl: string, uuid: string): Promise<void> {
  const body = JSON.stringify({ uuid, width: 96, height: 64, iterations: 100, xa: -2, xb: 2, ya: -1.5, yb: 1.5 })
  await until(
    async () => {
      const answer = await fetch(`${apiUrl}/v1/fractal`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
        signal: AbortSignal.timeout(5_000),
      }).catch(() => null)
      const text = await answer?.text().catch(() => '')
      if (answer && answer.status >= 400 && answer.status < 500) throw new Error(`${answer.status} ${text}`)
      return answer?.ok ?? false
    },
    { what: `${uuid} is accepted`, withinMs: 120_000, everyMs: 100 },
  )
}

async function unfinished(apiUrl: string): Promise<number> {
  const q = encodeURIComponent(
    JSON.stringify({ filters: [{ name: 'status', op: 'in', val: ['requested', 'rendering'] }] }),
  )
  const all = await fetch(`${apiUrl}/v1/fractal?results_per_page=1`).catch(() => null)
  const open = await fetch(`${apiUrl}/v1/fractal?results_per_page=1&q=${q}`).catch(() => null)
  if (!all?.ok || !open?.ok) return REQUESTS
  const { num_results: total } = (await all.json()) as { num_results: number }
  const { num_results: left } = (await open.json()) as { num_results: number }
  return REQUESTS - total + left
}

test.run()
