import { Webhook } from 'standardwebhooks'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { askForPing } from '../../services/platform/webhook-asks.ts'
import { recentAttempts } from '../../services/platform/webhook-attempts.ts'
import { createGuard, type LookUp } from '../../services/subscribers/guard.ts'
import { createSender } from '../../services/subscribers/send.ts'
import { allEvents } from '../support/all-events.ts'
import type { Received } from '../support/hook-receiver.ts'
import { until } from '../support/until.ts'
import { assertInOrder, cameTo, distinct, ids, isAtEnd } from './deliveries.ts'
import { quick, SOME, withHooks } from './with-subscribers.ts'

test('every event comes to every webhook that asks for it, signed, and in the order of its fractal', () =>
  withHooks(async (hooks) => {
    const { receiver } = hooks
    await hooks.happen(SOME)
    const all = await hooks.create(receiver.url('/all'))
    const completed = await hooks.create(receiver.url('/completed'), { types: ['TaskCompleted'] })
    await hooks.create(receiver.url('/requested'), { status: ['requested'] })
    await hooks.start()
    await hooks.happen(SOME)
    await cameTo(hooks, '/all', 2 * SOME)
    await cameTo(hooks, '/completed', (2 * SOME) / 3)
    await cameTo(hooks, '/requested', (2 * SOME) / 3)
    const events = await allEvents(hooks)
    assert.equal(ids(receiver.at('/all')).sort(), events.map(({ id }) => id).sort(), 'each once')
    assertInOrder(receiver.at('/all'), events)
    assert.equal([...new Set(receiver.at('/completed').map(({ event }) => event.type))], ['TaskCompleted'])
    for (const { body, headers } of receiver.at('/all')) new Webhook(all.secret).verify(body, headers)
    assert.throws(() => {
      const [{ body, headers }] = receiver.at('/all') as [Received]
      new Webhook(completed.secret).verify(body, headers)
    })
    await isAtEnd(hooks, all.id)
    await until(async () => (await recentAttempts(hooks.db, all.id, 100)).length === 2 * SOME, {
      what: 'all are noted',
    })
    const [newest] = await recentAttempts(hooks.db, all.id, 1)
    assert.is(newest?.outcome, 'delivered')
    assert.is(newest?.status, 204)
  }))

test('an address that is not public is refused, and the log of attempts says so', () =>
  withHooks(async (hooks) => {
    await hooks.happen(3)
    const { port, url } = hooks.receiver
    const written = [
      '127.0.0.2',
      '[::1]',
      '169.254.169.254',
      '10.0.0.1',
      '[::ffff:127.0.0.2]',
      '2130706434',
      '0177.0.0.2',
    ]
    const hosts = [...written, 'inside.test', 'changing.test']
    let turn = 0
    const resolve: LookUp = (host, _options, done) => {
      const isPublic = host === 'changing.test' && turn++ % 2 === 0
      done(null, [{ address: isPublic ? '93.184.216.34' : '127.0.0.2', family: 4 }])
    }
    const made = await Promise.all(hosts.map((host) => hooks.create(`https://${host}:${port}/`)))
    hooks.receiver.reply = () => ({ status: 302, headers: { location: `http://127.0.0.2:${port}/inside` } })
    const redirected = await hooks.create(url('/redirect'))
    const sender = createSender(createGuard(['127.0.0.1'], resolve), 300)
    await hooks.start({ schedule: { ...quick, parkAfterMs: 60_000 }, sender })
    for (const [i, { id }] of made.entries()) {
      const attempts = () => recentAttempts(hooks.db, id, 5)
      await until(async () => (await attempts()).some(({ outcome }) => outcome === 'refused'), {
        what: async () => `a refusal of ${hosts[i]} is noted: ${JSON.stringify(await attempts())}`,
      })
      for (const { outcome, error, status } of await attempts()) {
        assert.is(status, null)
        if (hosts[i] === 'changing.test' && outcome === 'failed') continue // of the public one there is no answer
        assert.is(outcome, 'refused', hosts[i])
        assert.match(error ?? '', 'is no public address')
      }
    }
    await until(async () => (await recentAttempts(hooks.db, redirected.id, 5)).length > 0, { what: 'it is noted' })
    const [attempt] = await recentAttempts(hooks.db, redirected.id, 1)
    assert.match(attempt?.error ?? '', /^it answered 302: no redirect is followed, to http:\/\/127\.0\.0\.2/)
    assert.equal([...new Set(hooks.receiver.received.map(({ path }) => path))], ['/redirect'])
  }))

test('what is changed counts from then on: paused, resumed, another address, other events, another secret, deleted', () =>
  withHooks(async (hooks) => {
    const { receiver, webhooks } = hooks
    await hooks.happen(3)
    const { id, secret } = await hooks.create(receiver.url('/first'))
    const first = await hooks.start()
    await cameTo(hooks, '/first', 3)
    await hooks.change(id, {
      type: 'change',
      settings: { url: receiver.url('/second'), types: ['TaskFailed', 'TaskCompleted'] },
    })
    await isAtEnd(hooks, id)
    await hooks.happen(3)
    await cameTo(hooks, '/second', 1)
    const next = `whsec_${Buffer.alloc(24, 9).toString('base64')}`
    await webhooks.store.rotateSecret(id, next, { now: Date.now(), seconds: 60 })
    await hooks.change(id, { type: 'rotate', overlap: 60 })
    await until(
      async () => {
        await hooks.happen(3)
        const { body, headers } = receiver.at('/second').at(-1) as Received
        new Webhook(secret).verify(body, headers)
        return headers['webhook-signature']?.split(' ').length === 2 && Boolean(new Webhook(next).verify(body, headers))
      },
      { what: 'both secrets sign' },
    )
    await isAtEnd(hooks, id)
    await first.stop()

    await hooks.change(id, { type: 'pause', reason: 'holidays', by: 'user' })
    const other = await hooks.create(receiver.url('/other'))
    const second = await hooks.start()
    await hooks.happen(3)
    await isAtEnd(hooks, other.id)
    const before = receiver.at('/second').length
    await hooks.change(id, { type: 'resume', now: '0' })
    await cameTo(hooks, '/second', before + 1)
    await second.stop()

    await hooks.change(id, { type: 'delete' })
    assert.equal(await webhooks.store.secrets(id, 0), [])
    await hooks.start()
    await hooks.happen(3)
    await isAtEnd(hooks, other.id)
    assert.is(receiver.at('/second').length, before + 1)
    assert.is(receiver.at('/first').length, 3)
  }))

test('one that hangs holds up no other', () =>
  withHooks(async (hooks) => {
    const { receiver } = hooks
    receiver.reply = ({ path }) => ({ status: 204, ...(path === '/hangs' && { does: 'hang' }) })
    await hooks.create(receiver.url('/hangs'))
    await hooks.create(receiver.url('/works'))
    await hooks.start()
    await hooks.happen(600)
    await cameTo(hooks, '/works', 600)
    assert.ok(receiver.at('/hangs').length <= 8, `${receiver.at('/hangs').length} at once`)
  }))

test('a ping comes to something whatever that is, and where nobody delivers that is said', () =>
  withHooks(async (hooks) => {
    const { receiver, broker } = hooks
    const { id, secret } = await hooks.create(receiver.url('/hook'))
    const codeOf = (ask: Promise<unknown>) => ask.then(String, (error) => isFaafoError(error) && error.code)
    assert.is(await codeOf(askForPing(broker, id)), 'subscribers-unavailable')
    await hooks.start()
    const attempt = await until(async () => (await codeOf(askForPing(broker, id))) !== 'subscribers-unavailable', {
      what: 'somebody delivers',
    }).then(() => askForPing(broker, id))
    assert.equal([attempt.outcome, attempt.status, attempt.type, attempt.cursor], ['delivered', 204, 'Ping', null])
    const { body, headers } = receiver.at('/hook').at(-1) as Received
    new Webhook(secret).verify(body, headers)
    receiver.reply = () => ({ status: 500, body: 'no' })
    assert.equal((({ outcome, answer }) => [outcome, answer])(await askForPing(broker, id)), ['failed', 'no'])
    assert.is(await codeOf(askForPing(broker, '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11')), 'not-found')
  }))

test('several processes share the webhooks, and where one dies the others go on where it was', () =>
  withHooks(async (hooks) => {
    const { receiver } = hooks
    const paths = Array.from({ length: 12 }, (_, i) => `/hook/${i}`)
    for (const path of paths) await hooks.create(receiver.url(path))
    const [first, second] = await Promise.all([hooks.startProcess(), hooks.startProcess()])
    const has32 = (text: string) => text.includes('"parts":32') || /parts: 32/.test(text)
    await until(() => [first, second].every((child) => has32(child.output())), {
      what: () => `both have their share:\n${first.output()}\n${second.output()}`,
      withinMs: 60_000,
    })
    await hooks.happen(SOME)
    for (const path of paths) await cameTo(hooks, path, SOME)
    for (const path of paths) assert.is(receiver.at(path).length, SOME, 'nothing came twice')
    await first.end('SIGKILL')
    await hooks.happen(SOME)
    const events = await allEvents(hooks)
    for (const path of paths) {
      await until(() => distinct(receiver.at(path)).length === 2 * SOME, {
        what: `all came to ${path}`,
        withinMs: 60_000,
      })
      assertInOrder(receiver.at(path), events)
    }
  }))

test('attempts are kept up to a number, and no delivery waits for the database', () =>
  withHooks(async (hooks) => {
    const { receiver } = hooks
    await hooks.happen(600)
    const { id } = await hooks.create(receiver.url('/hook'))
    await hooks.start()
    await cameTo(hooks, '/hook', 600)
    await until(
      async () => {
        const { length } = await recentAttempts(hooks.db, id, 1_000)
        return length >= 200 && length <= 260
      },
      { what: async () => `some 200 are kept, now ${(await recentAttempts(hooks.db, id, 1_000)).length}` },
    )
    await hooks.db.execute('drop table webhook_attempt')
    await hooks.happen(60)
    await cameTo(hooks, '/hook', 660)
  }))

test.run()
