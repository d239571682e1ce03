import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseCursor } from '../../events/cursor.ts'
import type { EventsPage } from '../../services/api/event-schemas.ts'
import { createClient } from '../../services/cli/client.ts'
import { subscribe } from '../../services/platform/subscribe.ts'
import { generateLog } from '../support/generated-log.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { eventsOf } from '../support/server-sent.ts'
import { type System, withSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

/*
 * Those who follow events are cut off again and again, and the api is killed. With as many as one may have:
 * FOLLOW_EVENTS=100000 FOLLOW_CUTS=200 FOLLOW_KILLS=10 npx tsx test/flow/follow.test.ts
 */
/** The log has three for each fractal. */
const EVENTS = 3 * Math.ceil(Number(process.env.FOLLOW_EVENTS ?? 3_000) / 3)
const CUTS = Number(process.env.FOLLOW_CUTS ?? 20)
const KILLS = Number(process.env.FOLLOW_KILLS ?? 2)
const SEED = Number(process.env.FOLLOW_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** Holds cursors against each other as they come: the next one is the one after the last. */
function follower() {
  let last = '0'
  return {
    last: () => last,
    count: () => parseCursor(last).seq,
    take(cursor: string) {
      assert.is(parseCursor(cursor).seq, parseCursor(last).seq + 1, `after ${last}`)
      last = cursor
    },
  }
}
type Follower = ReturnType<typeof follower>

test('whoever is cut off and comes back has every event once and in order, over streams, polls, the client and NATS', () =>
  withSystem(
    async (system) => {
      console.log(`seed ${SEED}`)
      const random = seededRandom(SEED)
      const [streaming, polling, using, subscribed] = [follower(), follower(), follower(), follower()]
      const cuts = { streamed: 0, polled: 0, subscribed: 0 }
      const running = [
        followStream(system, streaming, random, cuts),
        poll(system, polling, random, cuts),
        useClient(system, using),
        useDurable(system, subscribed, random, cuts),
        generateLog(system.natsUrl, EVENTS),
        killNowAndThen(system, random, () => streaming.count() / EVENTS),
      ]
      await Promise.all(running)
      for (const { count } of [streaming, polling, using, subscribed]) assert.is(count(), EVENTS)
      const { streamed, polled, subscribed: begun } = cuts
      console.log(`${streamed} streams were cut off, ${polled} polls failed, the subscription was begun ${begun} times`)
      assert.ok(cuts.streamed >= CUTS)
    },
    { env: { WORKERS: '0', LOG_LEVEL: 'error' } },
  ))

/** Leaves its stream after some events, so often that CUTS are reached, and comes back as browsers do. */
async function followStream({ apiUrl }: System, follower: Follower, random: () => number, cuts: { streamed: number }) {
  while (follower.count() < EVENTS) {
    const cut = new AbortController()
    let left = 1 + Math.floor((random() * 2 * EVENTS) / CUTS) * 0.8
    if (cuts.streamed >= CUTS) left = Number.POSITIVE_INFINITY
    try {
      const response = await fetch(`${apiUrl}/v1/events?after=0`, {
        headers: { accept: 'text/event-stream', 'last-event-id': follower.last() },
        signal: cut.signal,
      })
      for await (const { id, data } of eventsOf(response)) {
        assert.is(JSON.parse(data).cursor, id)
        follower.take(id ?? '')
        if (follower.count() === EVENTS || --left <= 0) break
      }
    } catch (error) {
      if (isAssertion(error)) throw error
      await new Promise((done) => setTimeout(done, 50)) // the api is being started again
    } finally {
      cut.abort()
      cuts.streamed++
    }
  }
}

async function poll({ apiUrl }: System, follower: Follower, random: () => number, cuts: { polled: number }) {
  while (follower.count() < EVENTS) {
    const limit = 1 + Math.floor(random() * 200)
    try {
      const answer = await fetch(`${apiUrl}/v1/events?after=${follower.last()}&limit=${limit}&wait=5`)
      if (!answer.ok) throw new Error(await answer.text())
      const { events, next } = (await answer.json()) as EventsPage
      for (const { cursor } of events) follower.take(cursor)
      assert.is(next, follower.last())
    } catch (error) {
      if (isAssertion(error)) throw error
      cuts.polled++
      await new Promise((done) => setTimeout(done, 50))
    }
  }
}

async function useClient({ apiUrl }: System, follower: Follower) {
  for await (const { cursor } of createClient({ endpoint: apiUrl }).follow({ after: '0' })) {
    follower.take(cursor)
    if (follower.count() === EVENTS) return
  }
}

/** Under one durable name, ended and begun again as often as streams are cut off. */
async function useDurable(
  { natsUrl: servers }: System,
  follower: Follower,
  random: () => number,
  cuts: { subscribed: number },
) {
  while (follower.count() < EVENTS) {
    const stop = new AbortController()
    let left = 1 + Math.floor((random() * 2 * EVENTS) / CUTS)
    await subscribe({ servers, durable: 'follower', after: '0', mostTries: 1, signal: stop.signal }, ({ cursor }) => {
      follower.take(cursor)
      if (follower.count() === EVENTS || --left === 0) stop.abort()
    })
    cuts.subscribed++
  }
}

const isAssertion = (error: unknown) => error instanceof assert.Assertion

/** kill -9 of the api, spread over the run. */
async function killNowAndThen(system: System, random: () => number, share: () => number) {
  for (let kill = 1; kill <= KILLS; kill++) {
    const at = (kill - random()) / KILLS
    await until(() => share() >= at, { what: `${at} of the events have come`, withinMs: 600_000 })
    const pids = await system.pids('api')
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    await until(async () => (await system.pids('api')).every((pid) => !pids.includes(pid)), {
      what: 'another one runs',
    })
  }
}

test.run()
