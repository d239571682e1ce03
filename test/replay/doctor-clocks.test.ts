import fc from 'fast-check'
import { connect } from 'nats'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { answerRollCall, askBrokerClock, callTheRoll, type Heard } from '../../services/platform/roll-call.ts'
import { clocksOf } from '../../services/replay/doctor/clocks.ts'
import { fillOf, roomOf } from '../../services/replay/doctor/room.ts'
import { withLog } from '../platform/with-log.ts'

const { signal } = new AbortController()

const worker = (clock: Heard['clock'], name = 'w1'): Heard => ({
  ...{ service: 'worker', id: name, name, host: 'h1', version: '0.1.0', clock },
})

/** What is known of a clock that is `ahead` ms, where the answer took `there` and back. */
const told = (ahead: number, there: number, back: number) => ({ least: ahead - back, most: ahead + there })

const ms = fc.integer({ min: 0, max: 60_000 })
const ahead = fc.integer({ min: -100_000, max: 100_000 })

test('a clock that differs by up to 2 s is never told, however slow the network', () => {
  const few = fc.integer({ min: -1_000, max: 1_000 })
  fc.assert(
    fc.property(few, few, ms, ms, ms, ms, (ours, theirs, a, b, c, d) => {
      const finding = clocksOf([worker(told(theirs, a, b))], told(ours, c, d))
      assert.is(finding.severity, 'ok')
    }),
  )
})

test('a clock that differs by more is told where the answers were quicker than that', () => {
  const quick = fc.integer({ min: 0, max: 100 })
  fc.assert(
    fc.property(ahead, quick, quick, quick, quick, (skew, a, b, c, d) => {
      fc.pre(Math.abs(skew) > 2_400)
      const { severity, found } = clocksOf([worker(told(skew, a, b))], told(0, c, d))
      assert.is(severity, Math.abs(skew) > 60_400 ? 'wrong' : Math.abs(skew) > 60_000 ? severity : 'warning')
      assert.match(found, skew > 0 ? /worker w1 on h1 is .* s or more ahead/ : /s or more behind/)
    }),
  )
})

test('services answer a roll call with their time until they stop; what is no answer is passed over', () =>
  withLog(async ({ broker, server }) => {
    const stop = new AbortController()
    const self = {
      service: 'worker',
      id: 'a',
      name: 'a',
      host: 'h',
      version: '1',
      state: 'working',
      threads: 2,
    } as const
    answerRollCall(broker, () => self, stop.signal)
    const nc = await connect({ servers: server.url })
    nc.subscribe(broker.names.rollCall, {
      callback: (_, call) => {
        const late = { service: 'worker', id: 'b', name: 'b', host: 'h', version: '1', time: Date.now() - 30_000 }
        call.respond(JSON.stringify(late))
        call.respond('not an answer')
        call.respond(JSON.stringify({ ...self, id: 'c' }))
      },
    })
    await nc.flush()
    const heard = await callTheRoll(broker, 1_000, signal)
    assert.equal(heard.map(({ id }) => id).sort(), ['a', 'b'])
    const { severity, found } = clocksOf(heard, await askBrokerClock(broker))
    assert.is(severity, 'warning')
    assert.match(found, /^compared with the broker's clock worker b on h is \d\d\.\d s or more behind$/)
    stop.abort()
    await nc.close()
    assert.equal(await callTheRoll(broker, 200, signal), [])
  }))

test('a place is told to be full by its share, unless plenty is left', () => {
  for (const [free, total, severity] of [
    [50e9, 1000e9, 'ok'],
    [11e6, 100e6, 'ok'],
    [9e6, 100e6, 'warning'],
    [1e6, 100e6, 'wrong'],
    [-5, 100e6, 'wrong'],
    [15e9, 1000e9, 'wrong'],
  ] as const) {
    assert.is(fillOf({ free, total }).severity, severity, `${free} of ${total}`)
  }
  const { found, remedy } = roomOf('image-disk', '/images', { free: 5e9, total: 100e9 })
  assert.is(found, 'the disk of /images has used 95 % of the 100.0 GB')
  assert.match(remedy ?? '', /^make room/)
})

test.run()
