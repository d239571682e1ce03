import type { LookupAddress } from 'node:dns'
import { type AddressInfo, createServer } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Secret } from '../../services/platform/webhook-store.ts'
import { deliver } from '../../services/subscribers/deliver.ts'
import { createGuard, type LookUp } from '../../services/subscribers/guard.ts'
import { createSender } from '../../services/subscribers/send.ts'
import { type Received, type Receiver, withReceiver } from '../support/hook-receiver.ts'

const secret = `whsec_${Buffer.alloc(24, 1).toString('base64')}`
const before = `whsec_${Buffer.alloc(24, 2).toString('base64')}`
const body = JSON.stringify({ specversion: '1.0', id: 'e1', type: 'TaskCompleted', source: '/test' })
const parcel = { id: 'e1', body, cursor: '7-0a0b0c0d', type: 'TaskCompleted', fractal: 'f' }
const never = new AbortController().signal

type Options = { targets?: string[]; resolve?: LookUp; sendMs?: number; secrets?: Secret[] }

async function deliverTo(url: string, { targets = ['127.0.0.1'], resolve, sendMs, secrets }: Options = {}) {
  const sender = createSender(createGuard(targets, resolve), sendMs)
  try {
    const came = await deliver(sender, { id: 'w', url }, secrets ?? [{ secret, until: null }], parcel, 1, never)
    if (!came) throw new Error('it was cut')
    return came
  } finally {
    sender.close()
  }
}

const replying = (reply: ReturnType<Receiver['reply']>, use: (receiver: Receiver) => Promise<void>) =>
  withReceiver((receiver) => {
    receiver.reply = () => reply
    return use(receiver)
  })

/** Answers as it is told, in turn. */
const resolving =
  (...answers: string[]): LookUp =>
  (_host, _options, done) => {
    const address = answers.length > 1 ? answers.shift() : answers[0]
    done(null, [{ address: address ?? '', family: address?.includes(':') ? 6 : 4 } satisfies LookupAddress])
  }

test('what is delivered is a CloudEvent that each valid secret signs, as Standard Webhooks has it', () =>
  replying({ status: 200, body: 'thanks' }, async (receiver) => {
    const secrets = [
      { secret, until: null },
      { secret: before, until: Date.now() + 60_000 },
      { secret: `whsec_${Buffer.alloc(24, 3).toString('base64')}`, until: Date.now() - 1 },
    ]
    const { attempt } = await deliverTo(receiver.url('/hook'), { secrets })
    assert.is(attempt.outcome, 'delivered')
    assert.is(attempt.status, 200)
    assert.is(attempt.answer, 'thanks')
    const { headers, body: came } = receiver.received[0] as Received
    assert.is(headers['content-type'], 'application/cloudevents+json')
    assert.is(headers['webhook-id'], 'e1')
    for (const one of [secret, before]) assert.equal(new Webhook(one).verify(came, headers), JSON.parse(body))
    assert.is(headers['webhook-signature']?.split(' ').length, 2)
  }))

test('what is no 2xx has failed, 410 says that it wants no more, and Retry-After is told', async () => {
  await replying({ status: 500, body: 'x'.repeat(5_000) }, async ({ url }) => {
    const { attempt } = await deliverTo(url('/'))
    assert.is(attempt.outcome, 'failed')
    assert.is(attempt.error, 'it answered 500')
    assert.is(attempt.answer?.length, 1_024)
  })
  await replying({ status: 410 }, async ({ url }) => assert.is((await deliverTo(url('/'))).attempt.outcome, 'gone'))
  await replying({ status: 429, headers: { 'retry-after': '7' } }, async ({ url }) =>
    assert.is((await deliverTo(url('/'))).retryAfterMs, 7_000),
  )
  await replying({ status: 200, body: 'a\0b' }, async ({ url }) =>
    assert.is((await deliverTo(url('/'))).attempt.answer, 'ab'),
  )
})

test('an answer that is cut, does not come or has no end is told', async () => {
  await replying({ status: 200, does: 'cut' }, async ({ url }) => {
    const { attempt } = await deliverTo(url('/'))
    assert.is(attempt.outcome, 'failed')
    assert.match(attempt.error ?? '', /cut|aborted/)
  })
  await replying({ status: 200, does: 'hang' }, async ({ url }) => {
    const { attempt } = await deliverTo(url('/'), { sendMs: 100 })
    assert.is(attempt.outcome, 'failed')
    assert.is(attempt.error, 'no answer within 0.1 s')
    assert.is(attempt.status, null)
  })
  await replying({ status: 200, body: 'x'.repeat(1_000_000) }, async ({ url }) => {
    const { attempt } = await deliverTo(url('/'))
    assert.is(attempt.outcome, 'delivered')
    assert.is(attempt.answer?.length, 1_024)
  })
})

test('one who wants to speak another protocol has answered, and one who says nothing has not', async () => {
  const upgrade = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
  for (const [answer, status, error] of [
    [upgrade, 101, /^it answered 101$/],
    ['', null, /socket hang up|without an answer/],
  ] as const) {
    const server = createServer((socket) => socket.once('data', () => socket.end(answer)).on('error', () => {}))
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    try {
      const { attempt } = await deliverTo(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
      assert.equal([attempt.outcome, attempt.status], ['failed', status])
      assert.match(attempt.error ?? '', error)
    } finally {
      server.close()
    }
  }
})

test('where nobody listens, that is told', () =>
  withReceiver(async (receiver) => {
    await receiver.down()
    const { attempt } = await deliverTo(receiver.url('/'))
    assert.is(attempt.outcome, 'failed')
    assert.match(attempt.error ?? '', /ECONNREFUSED/)
    await receiver.up()
  }))

test('nothing is sent to an address that is not public, however it is written', () =>
  withReceiver(async ({ port, received }) => {
    const hosts = ['127.0.0.1', '[::1]', '169.254.169.254', '10.0.0.1', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]']
    const forms = ['2130706433', '0177.0.0.1', '0x7f.0.0.1', '0x7f000001', '017700000001', '127.1', '0.0.0.0', '[::]']
    const more = [
      '100.64.0.1',
      '192.168.1.1',
      '172.16.0.1',
      '[fe80::1]',
      '[fd00::1]',
      '[64:ff9b::7f00:1]',
      '127.0.0.1.',
    ]
    for (const host of [...hosts, ...forms, ...more]) {
      for (const protocol of ['http', 'https']) {
        const { attempt } = await deliverTo(`${protocol}://${host}:${port}/`, { targets: [] })
        assert.is(attempt.outcome, 'refused', `${protocol} ${host}: ${attempt.error}`)
        assert.match(attempt.error ?? '', /^not sent: .* WEBHOOK_TARGETS does not list it$/)
      }
    }
    assert.is(received.length, 0)
  }))

test('nothing is sent to a name that leads to such an address, also where only one of several does', () =>
  withReceiver(async ({ port, received }) => {
    for (const address of ['127.0.0.1', '::1', '10.0.0.1', '169.254.169.254', '::ffff:127.0.0.1']) {
      const { attempt } = await deliverTo(`https://hooks.test:${port}/`, { targets: [], resolve: resolving(address) })
      assert.is(attempt.outcome, 'refused', attempt.error ?? '')
    }
    const both: LookUp = (_host, _options, done) =>
      done(null, [
        { address: '93.184.216.34', family: 4 },
        { address: '127.0.0.1', family: 4 },
      ])
    assert.is(
      (await deliverTo(`https://hooks.test:${port}/`, { targets: [], resolve: both })).attempt.outcome,
      'refused',
    )
    assert.is((await deliverTo(`https://localhost:${port}/`, { targets: [] })).attempt.outcome, 'refused')
    assert.is(received.length, 0)
  }))

test('a name that is public at one moment and not at the next is refused at the next', () =>
  withReceiver(async ({ port, received }) => {
    // Whoever looked once to check and once more to connect would be led here. Of several tries each looks once.
    for (const answers of [
      ['93.184.216.34', '127.0.0.1'],
      ['127.0.0.1', '93.184.216.34'],
    ]) {
      const sender = createSender(createGuard([], resolving(...answers)), 200)
      const outcomes: string[] = []
      for (let i = 0; i < 2; i++) {
        const hook = { id: 'w', url: `https://rebind.test:${port}/` }
        outcomes.push((await deliver(sender, hook, [{ secret, until: null }], parcel, 1, never))?.attempt.outcome ?? '')
      }
      sender.close()
      assert.equal(outcomes, answers[0] === '127.0.0.1' ? ['refused', 'failed'] : ['failed', 'refused'])
    }
    assert.is(received.length, 0)
  }))

test('a redirect is not followed, wherever it leads', () =>
  withReceiver((inner) =>
    replying({ status: 302, headers: { location: inner.url('/secret') } }, async (outer) => {
      const { attempt } = await deliverTo(outer.url('/'))
      assert.is(attempt.outcome, 'failed')
      assert.is(attempt.error, `it answered 302: no redirect is followed, to ${inner.url('/secret')}`)
      assert.is(outer.received.length, 1)
      assert.is(inner.received.length, 0)
    }),
  ))

test('over http it is sent to what is listed only: by name, address or network', () =>
  withReceiver(async ({ port, received }) => {
    const outcome = async (url: string, targets: string[], resolve?: LookUp) =>
      (await deliverTo(url, { targets, ...(resolve && { resolve }) })).attempt.outcome
    assert.is(await outcome(`http://127.0.0.1:${port}/`, ['127.0.0.0/8']), 'delivered')
    assert.is(await outcome(`http://hooks.test:${port}/`, ['hooks.test'], resolving('127.0.0.1')), 'delivered')
    assert.is(await outcome(`http://hooks.test:${port}/`, ['127.0.0.0/8'], resolving('127.0.0.1')), 'delivered')
    assert.is(await outcome(`http://hooks.test:${port}/`, ['other.test'], resolving('127.0.0.1')), 'refused')
    assert.is(
      await outcome(`http://hooks.test:${port}/`, [], resolving('93.184.216.34')),
      'refused',
      'http to the public',
    )
    assert.is(received.length, 3)
  }))

test('a connection that was kept and closed meanwhile is made anew', () =>
  withReceiver(async (receiver) => {
    const sender = createSender(createGuard(['127.0.0.1']))
    const once = async () => {
      const hook = { id: 'w', url: receiver.url('/') }
      return (await deliver(sender, hook, [{ secret, until: null }], parcel, 1, never))?.attempt.outcome
    }
    assert.is(await once(), 'delivered')
    await receiver.down()
    await receiver.up()
    assert.is(await once(), 'delivered')
    sender.close()
  }))

test.run()
