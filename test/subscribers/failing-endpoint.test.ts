import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { recentAttempts } from '../../services/platform/webhook-attempts.ts'
import { allEvents } from '../support/all-events.ts'
import { until } from '../support/until.ts'
import { assertInOrder, cameTo, distinct, ids, isAtEnd, stateOf } from './deliveries.ts'
import { quick, SOME, withHooks } from './with-subscribers.ts'

test('what fails is tried again, with its fractal waiting and the others not', () =>
  withHooks(async (hooks) => {
    const { receiver } = hooks
    await hooks.happen(SOME)
    const events = await allEvents(hooks)
    const [poison] = events
    let failures = 5
    receiver.reply = ({ event }) => ({ status: event.id === poison?.id && failures-- > 0 ? 500 : 204 })
    await hooks.create(receiver.url('/hook'))
    await hooks.start({ schedule: { ...quick, parkAfterMs: 60_000 } })
    await cameTo(hooks, '/hook', SOME + 5)
    assert.is(distinct(receiver.at('/hook')).length, SOME)
    assertInOrder(receiver.at('/hook'), events)
    const order = receiver.at('/hook').filter(({ event }) => event.subject === poison?.fractal)
    assert.equal(ids(order.slice(0, 6)), Array(6).fill(poison?.id))
  }))

test('however many fractals wait for their next try, the others are read and sent', () =>
  withHooks(async (hooks) => {
    const { receiver } = hooks
    await hooks.happen(450)
    const events = await allEvents(hooks)
    const fractals = [...new Set(events.map(({ fractal }) => fractal))]
    const refused = new Set(fractals.slice(0, 60))
    receiver.reply = ({ event }) => ({ status: refused.has(event.subject ?? '') ? 422 : 204 })
    await hooks.create(receiver.url('/hook'))
    const hour = 3_600_000
    await hooks.start({
      random: () => 1,
      schedule: { firstPauseMs: hour, longestPauseMs: hour, parkAfterMs: 2 * hour, pauseAfterMs: 2 * hour },
    })
    const taken = () => receiver.received.filter(({ answered }) => answered === 204)
    await until(() => taken().length === 3 * 90, { what: () => `the others come, now ${taken().length}` })
    assertInOrder(taken(), events)
  }))

test('what fails for too long is parked, its fractal goes on, and it can be tried again', () =>
  withHooks(async (hooks) => {
    const { receiver, webhooks } = hooks
    await hooks.happen(SOME)
    const events = await allEvents(hooks)
    const [first, second] = events as [(typeof events)[0], (typeof events)[0]]
    const poison = new Set([first.id, second.id])
    receiver.reply = ({ event }) => ({ status: poison.has(event.id) ? 422 : 204 })
    const { id } = await hooks.create(receiver.url('/hook'))
    await hooks.start({ schedule: quick })
    await until(async () => (await webhooks.store.parked(id)).length === 2, { what: 'both are parked' })
    const parked = await webhooks.store.parked(id)
    const one = parked.find(({ seq }) => seq === first.seq)
    assert.equal([one?.type, one?.uuid, one?.error], ['TaskRequested', first.fractal, 'it answered 422'])
    const rest = events.filter((event) => event.fractal === first.fractal && event.id !== first.id)
    await until(() => rest.every((event) => ids(receiver.at('/hook')).includes(event.id)), {
      what: 'its fractal goes on',
    })
    await isAtEnd(hooks, id)

    receiver.reply = () => ({ status: 204 })
    const before = receiver.received.length
    await hooks.change(id, { type: 'retry-parked', cursors: null, uuid: first.fractal })
    await until(() => receiver.received.length > before, { what: 'it is tried again' })
    await until(async () => (await webhooks.store.parked(id)).length === 1, { what: 'it is parked no more' })
    await hooks.change(id, { type: 'retry-parked', cursors: [`${second.seq}`], uuid: null })
    await until(async () => (await webhooks.store.parked(id)).length === 0, { what: 'the other neither' })
    await until(() => receiver.received.length === before + 2, { what: 'it came, too' })
    assert.equal(ids(receiver.received.slice(before)), [first.id, second.id])
  }))

test('an endpoint that fails with everything is paused with its reason, and goes on where it was once it is resumed', () =>
  withHooks(async (hooks) => {
    const { receiver } = hooks
    await hooks.happen(SOME)
    receiver.reply = () => ({ status: 503 })
    const { id } = await hooks.create(receiver.url('/hook'))
    await hooks.start({ schedule: { ...quick, parkAfterMs: 60_000, pauseAfterMs: 500 } })
    await until(async () => (await stateOf(hooks, id))[0] === 'paused', { what: 'it is paused' })
    assert.match((await stateOf(hooks, id))[1] ?? '', /^no delivery succeeded since .*; the last one: it answered 503$/)
    receiver.reply = () => ({ status: 204 })
    const before = receiver.received.length
    await hooks.change(id, { type: 'resume', now: '0' })
    await until(() => distinct(receiver.received.slice(before)).length === SOME, { what: 'all come' })
    assertInOrder(receiver.received.slice(before), await allEvents(hooks))
  }))

test('Retry-After is waited for, by all of the webhook, also where it is changed meanwhile', () =>
  withHooks(async (hooks) => {
    const { receiver } = hooks
    await hooks.happen(SOME)
    let busy = true
    receiver.reply = () => (busy ? { status: 429, headers: { 'retry-after': '3' } } : { status: 204 })
    const { id } = await hooks.create(receiver.url('/hook'))
    await hooks.start({ schedule: quick })
    await cameTo(hooks, '/hook', 8)
    busy = false
    await hooks.change(id, { type: 'change', settings: { description: 'ours' } })
    const lastRefused = Math.max(...receiver.received.map(({ at }) => at))
    await until(() => distinct(receiver.received.filter(({ answered }) => answered === 204)).length === SOME, {
      what: 'all came',
    })
    const firstAfter = receiver.received.find(({ answered }) => answered === 204)
    assert.ok((firstAfter?.at ?? 0) - lastRefused >= 2_900, `${(firstAfter?.at ?? 0) - lastRefused} ms`)
  }))

test('a resume has it tried at once, whatever Retry-After said', () =>
  withHooks(async (hooks) => {
    const { receiver, webhooks } = hooks
    await hooks.happen(SOME)
    receiver.reply = () => ({ status: 503, headers: { 'retry-after': '3600' } })
    const { id } = await hooks.create(receiver.url('/hook'))
    const first = await hooks.start()
    await cameTo(hooks, '/hook', 1)
    await first.stop()
    const { value } = await webhooks.store.position(id)
    assert.ok((value?.notBefore ?? 0) > Date.now() + 3_000_000, 'it is kept')
    receiver.reply = () => ({ status: 204 })
    await hooks.change(id, { type: 'pause', reason: null, by: 'user' })
    await hooks.change(id, { type: 'resume', now: '0' })
    await hooks.start()
    await until(() => receiver.received.filter(({ answered }) => answered === 204).length === SOME, {
      what: 'all come',
    })
  }))

test('410 disables a webhook, and a resume has it tried again', () =>
  withHooks(async (hooks) => {
    const { receiver } = hooks
    await hooks.happen(3)
    receiver.reply = () => ({ status: 410 })
    const { id } = await hooks.create(receiver.url('/hook'))
    await hooks.start()
    await until(async () => (await stateOf(hooks, id))[0] === 'disabled', { what: 'it is disabled' })
    assert.equal((await stateOf(hooks, id))[1], 'it answered 410: it wants no more')
    await until(async () => (await recentAttempts(hooks.db, id, 1)).length > 0, { what: 'it is noted' })
    const [attempt] = await recentAttempts(hooks.db, id, 1)
    assert.is(attempt?.outcome, 'gone')
    receiver.reply = () => ({ status: 204 })
    const before = receiver.received.length
    await hooks.change(id, { type: 'resume', now: '0' })
    await until(() => distinct(receiver.received.slice(before)).length === 3, { what: 'all come' })
  }))

test.run()
