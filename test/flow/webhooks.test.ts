import process from 'node:process'
import { Webhook } from 'standardwebhooks'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { pause } from '../../services/platform/shutdown.ts'
import { allEvents } from '../support/all-events.ts'
import { startChild } from '../support/child.ts'
import { generateLog } from '../support/generated-log.ts'
import { type Received, type Reply, withReceiver } from '../support/hook-receiver.ts'
import { launcher } from '../support/project.ts'
import { withReadModel } from '../support/read-model.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { type System, withSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

/*
 * Endpoints that are down, slow, answer 500 or 429, or cut the connection, as the seed picks, while the processes that
 * deliver to them are killed. To run one seed again: CHAOS_SEED=… npx tsx test/flow/webhooks.test.ts
 */
const SEED = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31))
const EVENTS = 600
const KILLS = 4
const CHAOS_MS = 20_000

type Hook = { id: string; secret: string; path: string }
type AttemptSeen = { status: number | null; outcome: string; attempt: number; event_id: string; latency_ms: number }

test('endpoints that fail in every way, and processes killed among it: every event comes, in order, signed, and the attempts tell', () =>
  withReceiver((receiver) =>
    withSystem(
      async (system) => {
        console.log(`seed ${SEED}`)
        const random = seededRandom(SEED)
        const { apiUrl, natsUrl, databaseUrl } = system
        const post = async (path: string, body: unknown) => {
          const headers = { 'content-type': 'application/json' }
          const answer = await fetch(`${apiUrl}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
          assert.ok(answer.ok, `${answer.status} ${await answer.clone().text()}`)
          return answer.json()
        }
        const create = async (path: string, more = {}): Promise<Hook> => {
          const made = (await post('/v1/webhooks', { url: receiver.url(path), ...more })) as Hook
          return { ...made, path }
        }
        const hooks = [
          await create('/all', { after: '0' }),
          await create('/ends', { types: ['TaskCompleted', 'TaskFailed'] }),
          await create('/again', { after: '0' }),
        ]
        const env = { ...process.env, NATS_URL: natsUrl, DATABASE_URL: databaseUrl, WEBHOOK_TARGETS: '127.0.0.1' }
        let second = await startChild(process.execPath, [launcher, 'subscribers'], { env })

        let isChaos = true
        receiver.reply = () => (isChaos ? badReply(random) : { status: 204 })
        const seen = new Set<string>()
        const killing = killSome(system, random, async () => {
          await second.end('SIGKILL')
          second = await startChild(process.execPath, [launcher, 'subscribers'], { env })
        })
        const outages = takeDown(receiver, random, () => isChaos)
        const endsAt = Date.now() + CHAOS_MS
        for (let i = 0; i < EVENTS / 30; i++) {
          await generateLog(natsUrl, 30)
          await pause(((endsAt - Date.now()) / (EVENTS / 30 - i)) * random() * 2)
          for (const { status, outcome } of await attemptsOf(apiUrl, hooks)) seen.add(`${outcome} ${status}`)
        }
        await pause(endsAt - Date.now())
        isChaos = false
        await outages
        console.log(`killed: ${(await killing).join(', ')}; ${receiver.received.length} requests came`)

        await withReadModel(system, async (parts) => {
          const events = await allEvents(parts)
          assert.is(events.length, EVENTS)
          for (const { path, secret } of hooks) {
            const wanted = events.filter(({ type }) => path !== '/ends' || type === 'TaskCompleted')
            const done = () => new Set(answered(receiver.at(path)).map(({ event }) => event.id))
            await until(() => wanted.every(({ id }) => done().has(id)), {
              what: () => `all came to ${path}: ${done().size} of ${wanted.length}`,
              withinMs: 240_000,
              everyMs: 250,
            })
            assert.is(done().size, wanted.length, 'and nothing else')
            for (const fractal of new Set(wanted.map((event) => event.fractal))) {
              inOrder(
                receiver.at(path),
                wanted.filter((event) => event.fractal === fractal).map(({ id }) => id),
              )
            }
            for (const { body, headers } of receiver.at(path)) new Webhook(secret).verify(body, headers)
          }
          for (const outcome of ['delivered 204', 'failed 500', 'failed 429', 'failed null']) {
            assert.ok(seen.has(outcome), `among the attempts there was ${outcome}: ${[...seen]}`)
          }
          const lastSeq = String(events.at(-1)?.seq)
          for (const { id } of hooks) {
            await until(async () => (await shown(apiUrl, id)).cursor?.split('-')[0] === lastSeq, {
              what: async () => `all is dealt with: ${JSON.stringify(await shown(apiUrl, id))}`,
            })
            assert.equal((({ state, parked }) => ({ state, parked }))(await shown(apiUrl, id)), {
              state: 'active',
              parked: 0,
            })
          }
        })
        await second.end('SIGTERM')
        assert.is(second.exitCode(), 0)
      },
      { env: { WORKERS: '0', LOG_LEVEL: 'error', WEBHOOK_TARGETS: '127.0.0.1' } },
    ),
  ))

/** Half of them are well. */
function badReply(random: () => number): Reply {
  const pick = random()
  if (pick < 0.5) return { status: 204, waitMs: random() * 20 }
  if (pick < 0.65) return { status: 500, body: 'no' }
  if (pick < 0.7) return { status: 429, headers: { 'retry-after': '1' } }
  if (pick < 0.85) return { status: 200, does: 'cut' }
  if (pick < 0.99) return { status: 204, waitMs: random() * 1_000 }
  return { status: 204, does: 'hang' }
}

/** kill -9 of one of the processes, a few times; resolves to which. */
async function killSome(system: System, random: () => number, killSecond: () => Promise<void>): Promise<string[]> {
  const killed: string[] = []
  while (killed.length < KILLS) {
    await pause((CHAOS_MS / KILLS) * (0.5 + random()))
    if (random() < 0.5) {
      await killSecond()
      killed.push('the second')
      continue
    }
    const [pid] = await system.pids('subscribers')
    if (pid === undefined) continue
    try {
      process.kill(pid, 'SIGKILL')
      killed.push('the first')
    } catch {
      // it had just ended: the supervisor is starting it again
    }
  }
  return killed
}

async function takeDown(
  receiver: { down(): Promise<void>; up(): Promise<void> },
  random: () => number,
  goesOn: () => boolean,
): Promise<void> {
  while (goesOn()) {
    await pause(1_000 + random() * 4_000)
    await receiver.down()
    await pause(random() * 1_000)
    await receiver.up()
  }
}

const answered = (received: readonly Received[]) => received.filter(({ answered: status }) => status === 204)

/** Nothing comes before all that was before it of its fractal has been answered as it should. */
function inOrder(received: readonly Received[], ids: readonly string[]) {
  for (const [i, id] of ids.entries()) {
    const previous = ids[i - 1]
    if (previous === undefined) continue
    const first = received.findIndex(({ event }) => event.id === id)
    const before = received.slice(0, first).filter(({ event }) => event.id === previous)
    assert.ok(answered(before).length > 0, `${id} came after ${previous}`)
  }
}

const shown = async (apiUrl: string, id: string) =>
  (await (await fetch(`${apiUrl}/v1/webhooks/${id}`)).json()) as {
    cursor: string | null
    state: string
    parked: number
  }

async function attemptsOf(apiUrl: string, hooks: readonly Hook[]): Promise<AttemptSeen[]> {
  const all = hooks.map(async ({ id }) => {
    const answer = await fetch(`${apiUrl}/v1/webhooks/${id}/attempts?limit=200`)
    return ((await answer.json()) as { attempts: AttemptSeen[] }).attempts
  })
  return (await Promise.all(all)).flat()
}

test.run()
