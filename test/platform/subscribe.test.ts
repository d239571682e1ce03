import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cursorOf } from '../../events/cursor.ts'
import { isFaafoError } from '../../events/errors.ts'
import {
  type CloudEvent,
  type SubscribeOptions,
  subscribe,
  type UnreadableCloudEvent,
} from '../../services/platform/subscribe.ts'
import { generateLog } from '../support/generated-log.ts'
import { until } from '../support/until.ts'
import { writeRaw } from '../support/write-raw.ts'
import { type LogParts, requested, withLog } from './with-log.ts'

type Seen = CloudEvent | UnreadableCloudEvent

/** Subscribes in the background; `handle` comes before an event counts as seen. */
function start(
  { server }: LogParts,
  options: SubscribeOptions = {},
  handle: (event: Seen, tries: number) => Promise<void> | void = () => {},
) {
  const stop = new AbortController()
  const seen: Seen[] = []
  let error: unknown
  let ended = false
  const running = subscribe({ servers: server.url, signal: stop.signal, ...options }, async (event, { tries }) => {
    await handle(event, tries)
    seen.push(event)
  })
    .catch((reason) => {
      error = reason
    })
    .finally(() => {
      ended = true
    })
  return {
    seen,
    seqs: () => seen.map(({ cursor }) => Number.parseInt(cursor, 10)),
    error: () => error,
    ended: () => ended,
    async stop() {
      stop.abort()
      await running
      if (error) throw error
    },
  }
}

const upTo = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i)
const seen = (subscription: ReturnType<typeof start>, count: number) =>
  until(() => subscription.seen.length >= count || subscription.ended(), {
    what: () => `${count} events are seen, now ${subscription.seen.length}`,
  })

test('without a name: every event in order, from after a cursor or from now on, of the types that are asked for', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 300)
    const [all, completed] = [start(parts, { after: '0' }), start(parts, { after: '0', types: ['TaskCompleted'] })]
    await seen(all, 300)
    await seen(completed, 100)
    assert.equal(all.seqs(), upTo(1, 300))
    assert.ok(completed.seen.every(({ type }) => type === 'TaskCompleted'))
    const later = start(parts, { after: all.seen[199]?.cursor ?? '' })
    await seen(later, 100)
    const now = start(parts)
    await new Promise((done) => setTimeout(done, 300))
    const { event } = await parts.log.append(requested())
    for (const subscription of [all, later, now]) {
      await until(() => subscription.seen.at(-1)?.cursor === cursorOf(event), { what: 'what follows is seen' })
      await subscription.stop()
    }
    assert.equal(later.seqs(), upTo(201, 301))
    assert.equal(now.seqs(), [301])
    await completed.stop()
  }))

test('an event that is not dealt with comes again, and those after it wait; after so many tries it is given up', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 30)
    for (const durable of [undefined, 'stubborn']) {
      const tried: number[] = []
      const stubborn = start(parts, { after: '0', ...(durable && { durable }) }, ({ cursor }, tries) => {
        if (!cursor.startsWith('7-')) return
        tried.push(tries)
        if (tries < 3) throw new Error('not yet')
      })
      await seen(stubborn, 30)
      assert.equal(stubborn.seqs(), upTo(1, 30))
      assert.equal(tried, [1, 2, 3])
      await stubborn.stop()
      const giving = start(
        parts,
        { after: '0', mostTries: 2, ...(durable && { durable: 'giving-up' }) },
        ({ cursor }) => {
          if (cursor.startsWith('7-')) throw new Error('never')
        },
      )
      await until(giving.ended, { what: 'it gives up' })
      assert.match(String(giving.error()), /never/)
      assert.equal(giving.seqs(), upTo(1, 6))
    }
  }))

test('with a name: the broker keeps the place, over restarts of either', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 300)
    const all: number[] = []
    for (const isKilled of [false, true]) {
      const some = start(parts, { durable: 'archiver', after: '0' })
      await seen(some, 70)
      if (isKilled) {
        await parts.server.kill()
        await parts.server.restart()
      }
      await some.stop()
      all.push(...some.seqs())
    }
    const last = start(parts, { durable: 'archiver' })
    const distinct = () => [...new Set([...all, ...last.seqs()])]
    await until(() => distinct().length === 300, {
      what: () => `all are seen, now ${distinct().length}`,
      withinMs: 60_000,
    })
    await last.stop()
    assert.equal(distinct(), upTo(1, 300)) // the broker's death may have had some come again
  }))

test('one that is ended and begun again goes on in order, at once', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 300)
    const all: number[] = []
    while (all.length < 300) {
      const some = start(parts, { durable: 'orderly', after: '0' })
      await seen(some, Math.min(40, 300 - all.length))
      await some.stop()
      all.push(...some.seqs())
    }
    assert.equal(all, upTo(1, 300))
  }))

test('a number in hand that is none is refused', async () => {
  for (const inHand of [0, -1, 1.5, Number.NaN]) {
    const error = await subscribe({ durable: 'x', inHand }, () => {}).catch((error) => error)
    assert.ok(isFaafoError(error, 'invalid-request'), String(error))
  }
})

test('processes that share a name share the events', () =>
  withLog(async (parts) => {
    const pause = () => new Promise<void>((done) => setTimeout(done, 2))
    const both = [
      start(parts, { durable: 'shared', after: '0', inHand: 200 }, pause),
      start(parts, { durable: 'shared', after: '0', inHand: 200 }, pause),
    ]
    await generateLog(parts.server.url, 600)
    const seqs = () => both.flatMap((one) => one.seqs())
    await until(() => new Set(seqs()).size === 600, { what: () => `all are seen, now ${new Set(seqs()).size}` })
    for (const one of both) {
      assert.ok(one.seen.length > 0)
      await one.stop()
    }
    assert.is(seqs().length, 600)
  }))

test('what this version cannot read comes as it is, of whatever types are asked for', () =>
  withLog(async (parts) => {
    const { event } = await parts.log.append(requested())
    const data = { generation: 1, reason: 'x' }
    await writeRaw(
      parts.server.url,
      { type: 'TaskCancelled', fractal: event.fractal, data },
      { 'ce-schemaversion': '9' },
    )
    for (const durable of [undefined, 'careful']) {
      const careful = start(parts, { after: '0', types: ['TaskDeleted'], ...(durable && { durable }) })
      await seen(careful, 1)
      const [unreadable] = careful.seen
      assert.ok(unreadable && 'unreadable' in unreadable)
      await careful.stop()
    }
  }))

test('a place in another log is refused, and so is a name that is for something else', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 30)
    for (const after of ['7-00000000', '31']) {
      for (const durable of [undefined, 'lost']) {
        const lost = start(parts, { after, ...(durable && { durable }) })
        await until(lost.ended, { what: 'it ends' })
        assert.ok(isFaafoError(lost.error(), 'log-replaced'), String(lost.error()))
      }
    }
    const wrong = start(parts, { after: 'yesterday' })
    await until(wrong.ended, { what: 'it ends' })
    assert.match(String(wrong.error()), /cannot read the cursor 'yesterday'/)
  }))

test.run()
