import { EventEmitter, once } from 'node:events'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NewWebhookEvent } from '../../events/webhook.ts'
import { identify } from '../../services/platform/identity.ts'
import { newSecret } from '../../services/platform/webhook-store.ts'
import { createWebhook } from '../../services/platform/webhooks.ts'
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
    const { store } = hooks.webhooks
    const { value, revision } = await store.position(other.id)
    if (!value) throw new Error('the replay wrote one')
    await store.writePosition(other.id, { ...value, upTo: `${last?.seq}` }, revision) // as a resume at the same moment may
    await hooks.change(other.id, { type: 'resume', now: `${last?.seq}` })
    await hooks.happen(3)
    await cameTo(hooks, '/one', SOME + 3)
    await cameTo(hooks, '/other', SOME + SOME + 3)
    assert.is(distinct(receiver.at('/one')).length, SOME + 3)
    assert.is(receiver.at('/one').length, SOME + 3, 'nothing came again')
  }))

test('a replay keeps what waits from before its beginning', () =>
  withHooks(async (hooks) => {
    const { receiver, webhooks } = hooks
    await hooks.happen(SOME)
    const [stuck] = await allEvents(hooks)
    let refuses = true
    receiver.reply = ({ event }) => ({ status: refuses && event.id === stuck?.id ? 500 : 204 })
    const { id } = await hooks.create(receiver.url('/hook'))
    const pauses = { firstPauseMs: 2_000, longestPauseMs: 2_000 }
    await hooks.start({ random: () => 1, schedule: { ...pauses, parkAfterMs: 600_000, pauseAfterMs: 600_000 } })
    const isAtLast = async () => Number.parseInt((await webhooks.store.position(id)).value?.upTo ?? '', 10) === SOME
    await until(isAtLast, { what: 'all of the log was read' })
    const before = receiver.received.filter(({ answered }) => answered === 204).length
    assert.is(before, SOME - 3)
    await hooks.change(id, { type: 'replay', after: `${SOME - 6}` })
    refuses = false
    await until(() => distinct(receiver.received.filter(({ answered }) => answered === 204)).length === SOME, {
      what: 'what waited comes, too, with all of its fractal',
    })
    await isAtEnd(hooks, id)
  }))

test('a parked delivery of another log is not tried again', () =>
  withHooks(async (hooks) => {
    const { receiver, webhooks } = hooks
    await hooks.happen(SOME)
    const { id } = await hooks.create(receiver.url('/hook'))
    const parked = { type: 'TaskRequested', uuid: v4(), attempts: 9, since: 1, error: 'it answered 500' }
    await webhooks.store.changeParked(id, () => [
      { ...parked, seq: 2, cursor: '2-00000000' },
      { ...parked, seq: SOME + 100, cursor: `${SOME + 100}-00000000` },
    ])
    await hooks.change(id, { type: 'replay', after: `${SOME + 100}` })
    await hooks.change(id, { type: 'replay', after: `${SOME}` })
    await hooks.change(id, { type: 'retry-parked', cursors: null, uuid: null })
    await hooks.start()
    await until(async () => (await webhooks.store.parked(id)).length === 0, { what: 'they are dropped' })
    await isAtEnd(hooks, id)
    assert.is(receiver.received.length, 0)
    assert.equal(await stateOf(hooks, id), ['active', null])
  }))

test('of two who create one webhook at the same moment the first has its secret kept', () =>
  withHooks(async ({ webhooks }) => {
    const id = v4()
    const asked = { url: 'https://example.org/', description: '', types: [], status: [], uuid: [], after: '0' }
    const [ours, theirs] = [newSecret(), newSecret()]
    const append = (event: NewWebhookEvent) => webhooks.append(identify(event, '/test'))
    const newest = async () => (await webhooks.store.secrets(id, Date.now()))[0]?.secret
    const appended = new EventEmitter()
    let other: Promise<unknown> | undefined
    const first = await createWebhook(webhooks, id, { ...asked, secret: ours }, async (event) => {
      other = createWebhook(webhooks, id, { ...asked, secret: theirs }, async (late) => {
        await once(appended, 'first')
        return append(late)
      }).catch((error) => error)
      await until(async () => (await newest()) === theirs, { what: 'the other one has put its own in place' })
      return append(event)
    })
    assert.equal([first.isNew, first.secret], [true, ours])
    appended.emit('first')
    await other
    assert.is(await newest(), ours)
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
