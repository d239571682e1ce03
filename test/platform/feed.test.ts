import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decode } from '../../events/codec.ts'
import { isFaafoError } from '../../events/errors.ts'
import { createFeed, type Feed, type FeedEvent } from '../../services/platform/feed.ts'
import { createLog } from '../../services/platform/log.ts'
import { startOfLog } from '../../services/platform/log-reader.ts'
import { generateLog } from '../support/generated-log.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { until } from '../support/until.ts'
import { type LogParts, withAdministration, withLog } from './with-log.ts'

const withFeed = (use: (parts: LogParts & { feed: Feed }) => Promise<void>) =>
  withLog(async (parts) => {
    const stop = new AbortController()
    try {
      await use({ ...parts, feed: createFeed(parts, stop.signal) })
    } finally {
      stop.abort()
    }
  })

/** Follows in the background; between batches it waits for `pace`. */
function startFollowing(feed: Feed, seq: number, pace: () => Promise<unknown> = async () => {}) {
  const controller = new AbortController()
  const following = { events: [] as FeedEvent[], error: undefined as unknown, stop }
  const running = (async () => {
    try {
      for await (const batch of feed.follow({ ...startOfLog, seq }, controller.signal)) {
        following.events.push(...batch)
        await pace()
      }
    } catch (error) {
      following.error = error
    }
  })()
  async function stop() {
    controller.abort()
    await running
  }
  return following
}

const never = new AbortController().signal
const upTo = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i)

test('whoever follows from wherever has every event after that, in order, however slowly it takes them', () =>
  withFeed(async ({ server, feed }) => {
    const random = seededRandom(7)
    await generateLog(server.url, 3_000)
    const before = Array.from({ length: 12 }, () => Math.floor(random() * 3_000))
    const followings = before.map((seq, i) => ({
      seq,
      ...{ following: startFollowing(feed, seq, () => new Promise((done) => setTimeout(done, i % 3))) },
    }))
    const stuck = startFollowing(feed, 2_990, () => new Promise(() => {}))
    await generateLog(server.url, 600)
    await generateLog(server.url, 600)
    const late = startFollowing(feed, 4_199)
    await generateLog(server.url, 3)
    for (const { seq, following } of [...followings, { seq: 4_199, following: late }]) {
      await until(() => following.events.at(-1)?.seq === 4_203, { what: 'it is at the end' })
      assert.equal(
        following.events.map((event) => event.seq),
        upTo(seq + 1, 4_203),
      )
    }
    assert.ok(stuck.events.length < 200)
    // near the end all have the very same events
    const lasts = new Set([...followings.map(({ following }) => following), late].map(({ events }) => events.at(-1)))
    assert.is(lasts.size, 1)
    for (const { following } of followings) await following.stop()
    await late.stop()
  }))

test('many who are far behind have the log read once for all of them', () =>
  withFeed(async ({ server, broker, feed }) => {
    await generateLog(server.url, 3_000)
    let consumers = 0
    const nc = broker.nc()
    const advisories = nc.subscribe(`$JS.EVENT.ADVISORY.CONSUMER.CREATED.${broker.names.stream}.>`, {
      callback: () => consumers++,
    })
    const followings = Array.from({ length: 40 }, () => startFollowing(feed, 0))
    for (const following of followings) {
      await until(() => following.events.length === 3_000, { what: 'it is at the end' })
      await following.stop()
    }
    await nc.flush()
    advisories.unsubscribe()
    assert.ok(consumers > 0 && consumers < 20, `${consumers} consumers`)
  }))

test('who is far behind is told where another event is at its position', () =>
  withFeed(async ({ server, feed, log }) => {
    await generateLog(server.url, 1_200)
    for (const seq of [250, 400]) {
      const { id = null } = (await log.at(seq)) ?? {}
      const [right, wrong] = [id, 'ffffffff'].map((id) => feed.follow({ ...startOfLog, seq, id }, never).next())
      const { value = [] } = (await right) ?? {}
      assert.is(value[0]?.seq, seq + 1)
      const error = await wrong?.catch((error) => error)
      assert.ok(isFaafoError(error, 'log-replaced'), String(error))
    }
  }))

for (const [kept, past, before] of [
  [950, 260, 240],
  [100, 1_150, 1_050],
] as const) {
  test(`who is past what is missing from a log follows it, who is not is told, where ${kept} are left`, () =>
    withFeed(async ({ server, broker, feed }) => {
      await generateLog(server.url, 1_200)
      await withAdministration(server.url, async (jsm) => {
        await jsm.streams.update(broker.names.stream, { max_msgs: kept })
      })
      const follow = async (seq: number) => {
        const following = startFollowing(feed, seq)
        const isThere = () => following.events.at(-1)?.seq === 1_200 || following.error !== undefined
        await until(isThere, { what: 'it is at the end, or is told' })
        await following.stop()
        return following
      }
      const goesOn = async () => {
        const { error, events } = await follow(past)
        if (error !== undefined) return false // the first to come is told that something is missing near the end
        assert.equal(
          events.map(({ seq }) => seq),
          upTo(past + 1, 1_200),
        )
        return true
      }
      await until(goesOn, { what: 'it goes on' })
      const { error } = await follow(before)
      assert.ok(isFaafoError(error, 'log-replaced'), String(error))
    }))
}

test('a broker that is away is waited for', () =>
  withFeed(async ({ server, feed, log }) => {
    await generateLog(server.url, 30)
    const following = startFollowing(feed, 0)
    await until(() => following.events.length === 30, { what: 'it is at the end' })
    await server.kill()
    await server.restart()
    await generateLog(server.url, 30)
    await until(() => following.events.length === 60, { what: 'it goes on' })
    assert.is((await log.head()).lastSeq, 60)
    await following.stop()
    assert.is(following.error, undefined)
  }))

test('where the log is another one all who follow are told', () =>
  withFeed(async ({ server, feed, log }) => {
    await generateLog(server.url, 300)
    const followings = [startFollowing(feed, 0), startFollowing(feed, 300)]
    await until(() => followings[0]?.events.length === 300, { what: 'it is at the end' })
    await server.stop()
    await rename(join(server.storeDir, 'jetstream'), join(server.storeDir, 'before'))
    await server.restart()
    for (const following of followings) {
      await until(() => following.error !== undefined, { what: 'it is told' })
      assert.ok(isFaafoError(following.error, 'log-replaced'), String(following.error))
    }
    await until(async () => (await log.head().catch(() => null)) !== null, { what: 'the log answers' })
    const anew = startFollowing(feed, 0)
    await generateLog(server.url, 30)
    await until(() => anew.events.length === 30, { what: 'who begins anew has the new one' })
    await anew.stop()
  }))

test('a fault of the program in reading is told once for many tries, and followers go on where it is gone', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 30)
    let isBroken = true
    let tries = 0
    const log = createLog(parts.broker, (message, position) => {
      if (isBroken && position.seq === 20) {
        tries++
        throw new TypeError('x is not a function')
      }
      return decode(message, position)
    })
    const said: unknown[] = []
    const logger = Object.create(parts.logger, { error: { value: (bound: object) => said.push(bound) } })
    const stop = new AbortController()
    try {
      const following = startFollowing(createFeed({ ...parts, log, logger }, stop.signal), 0)
      await until(() => tries >= 4, { what: 'it was tried often' })
      assert.is(said.length, 1)
      assert.match(String((said[0] as { err: unknown }).err), 'x is not a function')
      isBroken = false
      await until(() => following.events.at(-1)?.seq === 30, { what: 'it is at the end' })
      assert.equal(
        following.events.map((event) => event.seq),
        upTo(1, 30),
      )
      await following.stop()
    } finally {
      stop.abort()
    }
  }))

test.run()
