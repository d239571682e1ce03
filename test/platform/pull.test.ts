import { AckPolicy, type NatsConnection } from 'nats'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Delivered, pull } from '../../services/platform/pull.ts'
import { generateLog } from '../support/generated-log.ts'
import { until } from '../support/until.ts'
import { requested, withLog } from './with-log.ts'

const consumer = 'test'
const never = new AbortController().signal

/** Gives `use` a consumer of a log with 30 events. */
const withConsumer = (
  use: (parts: { nc: NatsConnection; stream: string; append: () => Promise<unknown> }) => Promise<void>,
) =>
  withLog(async ({ server, broker, log }) => {
    await generateLog(server.url, 30)
    const nc = broker.nc()
    const { stream } = broker.names
    const jsm = await nc.jetstreamManager()
    await jsm.consumers.add(stream, { durable_name: consumer, ack_policy: AckPolicy.None })
    await use({ nc, stream, append: () => log.append(requested()) })
  })

async function all(pulling: AsyncGenerator<Delivered[]>): Promise<Delivered[]> {
  const delivered: Delivered[] = []
  for await (const messages of pulling) delivered.push(...messages)
  return delivered
}

test('as many come as were asked for, each where it stands', () =>
  withConsumer(async ({ nc, stream }) => {
    const asking = { stream, consumer, max: 20, expiresMs: 60_000 }
    const first = await all(pull(nc, asking, never))
    assert.equal(
      first.map(({ seq, delivery, pending }) => [seq, delivery, pending]),
      Array.from({ length: 20 }, (_, i) => [i + 1, i + 1, 29 - i]),
    )
    const jsm = await nc.jetstreamManager()
    for (const { seq, storedAt, message } of first.slice(-2)) {
      const stored = await jsm.streams.getMessage(stream, { seq })
      assert.is(message.subject, stored.subject)
      assert.is(message.string(), stored.string())
      assert.is(storedAt, Math.floor(stored.time.getTime()))
    }
  }))

test('what comes while it is waited for comes, too, and then it ends', () =>
  withConsumer(async ({ nc, stream, append }) => {
    const pulling = pull(nc, { stream, consumer, max: 100, expiresMs: 2_000 }, never)
    const delivered: Delivered[] = []
    for await (const messages of pulling) {
      delivered.push(...messages)
      if (delivered.length === 30) await append()
    }
    assert.is(delivered.length, 31)
    assert.is(delivered.at(-1)?.pending, 0)
  }))

test('it ends where it is told to, and where the consumer is gone', () =>
  withConsumer(async ({ nc, stream }) => {
    const asking = { stream, consumer, max: 100, expiresMs: 60_000 }
    const stop = new AbortController()
    let taken = 0
    for await (const messages of pull(nc, asking, stop.signal)) {
      taken += messages.length
      if (taken === 30) setImmediate(() => stop.abort())
    }
    assert.is(taken, 30)
    assert.equal(await all(pull(nc, asking, stop.signal)), [])

    const jsm = await nc.jetstreamManager()
    const waiting: Promise<Error> = all(pull(nc, asking, never)).then(
      () => new Error('it ended'),
      (error) => error,
    )
    await until(async () => (await jsm.consumers.info(stream, consumer)).num_waiting > 0, { what: 'it waits' })
    await jsm.consumers.delete(stream, consumer)
    assert.match((await waiting).message, /^cannot read the log: the broker answers '409 Consumer Deleted'$/)
    // Of one that is gone the broker says that nobody answers, or, up to 2.9, nothing.
    const later = await all(pull(nc, { ...asking, expiresMs: 500 }, never)).catch((error) => error.message)
    assert.match(String(later), /^$|the broker answers '503/)
  }))

test('one who may not ask for so many is told so', () =>
  withLog(async ({ broker }) => {
    const { stream } = broker.names
    const jsm = await broker.nc().jetstreamManager()
    await jsm.consumers.add(stream, { durable_name: consumer, ack_policy: AckPolicy.None, max_batch: 10 })
    const refused: Error = await all(pull(broker.nc(), { stream, consumer, max: 20, expiresMs: 60_000 }, never)).catch(
      (error) => error,
    )
    assert.match(refused.message, /^cannot read the log: the broker answers '409 Exceeded MaxRequestBatch/)
  }))

test.run()
