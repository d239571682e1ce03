import fc from 'fast-check'
import type { Msg } from 'nats'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cursorOf } from '../../events/cursor.ts'
import { isFaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { parseMoment } from '../../events/moment.ts'
import { fold, isFractal } from '../../events/task.ts'
import { fractalAsOf } from '../../services/platform/as-of.ts'
import { lastSeqBy, millisOf, storedAtOf } from '../../services/platform/log-time.ts'
import { deliveredOf } from '../../services/platform/pull.ts'
import { allEvents } from '../support/all-events.ts'
import { appendLegalHistories } from '../support/legal-log.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { withLog } from './with-log.ts'

const PAIRS = 1_000

test('a fractal at any moment is the fold of what had happened by then', () =>
  withLog(async (parts) => {
    const { log } = parts
    const seed = Math.floor(Math.random() * 2 ** 31)
    console.log(`seed ${seed}`)
    const random = seededRandom(seed)
    const uuids = await appendLegalHistories(log, { seed, count: 100 })
    const events = await allEvents(parts)
    const any = <T>(all: readonly T[]) => all[Math.floor(random() * all.length)] as T

    async function comparePair(): Promise<void> {
      const uuid = any(uuids)
      const event = any(events)
      const isTime = random() < 0.5
      const text = isTime ? new Date(event.recordedAt).toISOString() : cursorOf(event)
      const before = events.filter((e) => (isTime ? e.recordedAt <= event.recordedAt : e.seq <= event.seq))
      const expected = fold(before.filter((e) => e.fractal === uuid))
      const found = await fractalAsOf(log, uuid, parseMoment(text)).catch((error) => error)
      if (isFractal(expected)) assert.equal(found, expected, `${uuid} as of ${text}`)
      else assert.ok(isFaafoError(found, 'not-found'), `${uuid} as of ${text}: ${found}`)
    }
    for (let pairs = 0; pairs < PAIRS; pairs += 20) await Promise.all(Array.from({ length: 20 }, comparePair))
  }))

test('the last event by a time is found wherever the time lies', () =>
  withLog(async (parts) => {
    const { log } = parts
    assert.is(await lastSeqBy(log, Date.now()), 0)
    await appendLegalHistories(log, { seed: 1, count: 5 })
    const events = await allEvents(parts)
    const [first, last] = [events[0], events.at(-1)] as [RecordedEvent, RecordedEvent]
    assert.is(await lastSeqBy(log, first.recordedAt - 1), 0)
    assert.is(await lastSeqBy(log, last.recordedAt), last.seq)
    assert.is(await lastSeqBy(log, last.recordedAt + 1e9), last.seq)
    for (const { recordedAt } of events) {
      const expected = events.filter((e) => e.recordedAt <= recordedAt).length
      assert.is(await lastSeqBy(log, recordedAt), expected)
    }
  }))

test('a moment is the same, whether it comes as text, as a number of nanoseconds or by way of a pull', () => {
  const edges = fc.constantFrom(0, 1, 100, 128, 999_872, 999_900, 999_999)
  const nanoseconds = fc.tuple(fc.integer({ min: 1, max: 2_000_000_000_000 }), fc.oneof(edges, fc.nat(999_999)))
  fc.assert(
    fc.property(nanoseconds, ([ms, rest]) => {
      const text = new Date(ms).toISOString().replace('Z', `${String(rest).padStart(6, '0')}Z`)
      const nanoseconds = `${ms}${String(rest).padStart(6, '0')}`
      const told = millisOf(Number.parseInt(nanoseconds, 10)) // as the client library reads it
      for (const reply of [`$JS.ACK.S.c.1.7.5.${nanoseconds}.9`, `$JS.ACK.hub.A.S.c.1.7.5.${nanoseconds}.9.x`]) {
        const { seq, delivery, storedAt, pending } = deliveredOf({ reply } as Msg) ?? {}
        assert.equal([seq, delivery, storedAt, pending], [7, 5, told, 9], reply)
      }
      for (const written of [text, text.replace(/\.?0+Z$/, 'Z')]) assert.is(storedAtOf(written), told, written)
    }),
  )
})

test('a cursor of another log is refused', () =>
  withLog(async (parts) => {
    const [uuid = ''] = await appendLegalHistories(parts.log, { seed: 1, count: 1 })
    for (const text of ['1-00000000', '999-0123abcd']) {
      const error = await fractalAsOf(parts.log, uuid, parseMoment(text)).catch((error) => error)
      assert.ok(isFaafoError(error, 'log-replaced'), text)
    }
    assert.ok(await fractalAsOf(parts.log, uuid, parseMoment('1')))
  }))

test.run()
