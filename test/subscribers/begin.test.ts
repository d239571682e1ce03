import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { withAdministration } from '../platform/with-log.ts'
import { allEvents } from '../support/all-events.ts'
import { until } from '../support/until.ts'
import { cameTo, distinct, isAtEnd, stateOf } from './deliveries.ts'
import { SOME, withHooks } from './with-subscribers.ts'

test('started again with its position kept, it sends nothing again', () =>
  withHooks(async (hooks) => {
    await hooks.happen(SOME)
    const { id } = await hooks.create(hooks.receiver.url('/hook'))
    const first = await hooks.start()
    await cameTo(hooks, '/hook', SOME)
    await first.stop()
    await isAtEnd(hooks, id)
    await hooks.start()
    await hooks.happen(3)
    await cameTo(hooks, '/hook', SOME + 3)
    assert.is(distinct(hooks.receiver.at('/hook')).length, SOME + 3)
    assert.is(hooks.receiver.at('/hook').length, SOME + 3)
  }))

test('with positions lost webhooks are paused and say so; a resume begins with what is new, a replay where it says', () =>
  withHooks(async (hooks) => {
    const { receiver } = hooks
    await hooks.happen(SOME)
    const one = await hooks.create(receiver.url('/one'))
    const other = await hooks.create(receiver.url('/other'))
    const first = await hooks.start()
    await cameTo(hooks, '/one', SOME)
    await cameTo(hooks, '/other', SOME)
    await first.stop()
    await withAdministration(hooks.server.url, async (jsm) => {
      await jsm.streams.delete('KV_webhook-positions')
    })
    await hooks.start()
    for (const { id } of [one, other]) {
      await until(async () => (await stateOf(hooks, id))[0] === 'paused', { what: 'it is paused' })
      const [, reason] = await stateOf(hooks, id)
      assert.match(reason ?? '', /^what says how far it had come is lost: resume /)
    }
    const last = (await allEvents(hooks)).at(-1)
    await hooks.change(one.id, { type: 'resume', now: `${last?.seq}` })
    await hooks.change(other.id, { type: 'replay', after: '0' })
    assert.equal((await stateOf(hooks, other.id))[0], 'paused', 'a replay does not resume')
    await hooks.change(other.id, { type: 'resume', now: `${last?.seq}` })
    await hooks.happen(3)
    await cameTo(hooks, '/one', SOME + 3)
    await cameTo(hooks, '/other', SOME + SOME + 3)
    assert.is(distinct(receiver.at('/one')).length, SOME + 3)
    assert.is(receiver.at('/one').length, SOME + 3, 'nothing came again')
  }))

test('a log that is another one has a webhook paused', () =>
  withHooks(async (hooks) => {
    await hooks.happen(SOME)
    const { id } = await hooks.create(hooks.receiver.url('/hook'), { after: '7-00000000' })
    await hooks.start()
    await until(async () => (await stateOf(hooks, id))[0] === 'paused', { what: 'it is paused' })
    assert.match((await stateOf(hooks, id))[1] ?? '', /^cannot go on from event 7: the event there is now /)
    assert.is(hooks.receiver.received.length, 0)
  }))

test.run()
