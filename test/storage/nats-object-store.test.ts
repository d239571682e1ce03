import { createHash, randomBytes } from 'node:crypto'
import { connect, type JetStreamManager, type NatsConnection } from 'nats'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError } from '../../events/errors.ts'
import type { ImageStore } from '../../services/storage/image-store.ts'
import { natsObjectStore } from '../../services/storage/nats-object-store.ts'
import { type Broker, type BrokerOptions, withBroker } from '../support/broker.ts'
import { until } from '../support/until.ts'
import { fails } from './failure.ts'

type Bench = { broker: Broker; nc: NatsConnection; jsm: JetStreamManager; store: ImageStore }

const withBucket = (body: (bench: Bench) => Promise<void>, options?: BrokerOptions) =>
  withBroker(async (broker) => {
    const nc = await connect({ servers: broker.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 })
    try {
      await body({ broker, nc, jsm: await nc.jetstreamManager(), store: natsObjectStore(nc, 'images') })
    } finally {
      await nc.close()
    }
  }, options)

async function hashOf(body: ReadableStream<Uint8Array> | undefined): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of body ?? []) hash.update(chunk)
  return hash.digest('hex')
}

const pieces = (megabytes: number) => Array.from({ length: megabytes * 16 }, () => randomBytes(65_536))
const chunkCount = async (jsm: JetStreamManager) => {
  const { state } = await jsm.streams.info('OBJ_images', { subjects_filter: '$O.images.C.>' })
  return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0)
}

test('a put that loses its broker fails; once the broker is back, a put works, and the images are there', () =>
  withBucket(async ({ broker, store, nc }) => {
    const before = await store.put([randomBytes(1000)])
    async function* losing() {
      yield* pieces(2)
      await broker.kill()
      yield* pieces(2)
    }
    await fails('storage-unavailable', () => store.put(losing()))
    await Promise.all([
      fails('storage-unavailable', () => store.check()),
      fails('storage-unavailable', () => store.get(before.key)),
    ])
    await broker.restart()
    await until(
      () =>
        nc.flush().then(
          () => true,
          () => false,
        ),
      { what: 'the connection is back' },
    )
    await until(
      () =>
        store.check().then(
          () => true,
          () => false,
        ),
      { what: 'the bucket is back' },
    )
    const image = pieces(2)
    const { key } = await store.put(image)
    assert.is(await hashOf((await store.get(key))?.body), key)
    assert.is(await hashOf((await store.get(before.key))?.body), before.key)
  }))

test('a body that loses its broker ends with an error', () =>
  withBucket(async ({ broker, store }) => {
    const { key } = await store.put(pieces(4))
    const reader = (await store.get(key))?.body.getReader()
    await reader?.read()
    await broker.kill()
    await fails('storage-unavailable', async () => {
      while (!(await reader?.read())?.done);
    })
  }))

test('a connection that cannot be had is storage-unavailable at once', async () => {
  const store = natsObjectStore(() => {
    throw new FaafoError('log-unavailable', 'cannot reach the log: there is no connection to the broker')
  }, 'images')
  await fails('storage-unavailable', () => store.put([randomBytes(10)]))
  await fails('storage-unavailable', () => store.has('0'.repeat(64)))
})

test('a bucket is made by whoever comes first, and again when it was deleted', () =>
  withBucket(async ({ nc, jsm, store }) => {
    const image = randomBytes(1000)
    const stores = Array.from({ length: 8 }, () => natsObjectStore(() => nc, 'images'))
    await Promise.all(stores.map((each) => each.put([image])))
    assert.is((await jsm.streams.info('OBJ_images')).config.num_replicas, 1)
    const { key } = await store.put([image])
    await jsm.streams.delete('OBJ_images')
    await store.put([image]).catch(() => {})
    await store.put([image])
    assert.is(await hashOf((await store.get(key))?.body), key)
  }))

test('who only reads makes no bucket, finds nothing where there is none, and everything once there is one', () =>
  withBucket(async ({ nc, jsm, store }) => {
    const reader = natsObjectStore(nc, 'images', { replicas: null })
    const image = randomBytes(1000)
    const key = createHash('sha256').update(image).digest('hex')
    assert.is(await reader.get(key), null)
    assert.is(await reader.has(key), false)
    await reader.remove(key)
    await fails('storage-unavailable', () => reader.put([image]))
    assert.is((await jsm.streams.names().next()).length, 0)
    await store.put([image])
    assert.is(await hashOf((await reader.get(key))?.body), key)
  }))

test('a full bucket is storage-full, and the image that did not fit leaves nothing', () =>
  withBucket(async ({ jsm, store }) => {
    const { key } = await store.put([randomBytes(100_000)])
    await jsm.streams.update('OBJ_images', { max_bytes: 1_000_000 })
    await fails('storage-full', () => store.put(pieces(4)))
    assert.is(await chunkCount(jsm), 1)
    assert.is(await hashOf((await store.get(key))?.body), key)
  }))

test('a broker with no room left is storage-full', () =>
  withBucket(async ({ store }) => fails('storage-full', () => store.put(pieces(4))).then(() => {}), {
    config: 'accounts { A { jetstream { max_file: 1M }, users: [{ user: a, password: a }] } }\nno_auth_user: a',
  }))

test('a bucket for which there was no room when it was first asked for is made once there is', () =>
  withBucket(
    async ({ jsm, store }) => {
      await jsm.streams.add({ name: 'OTHER', subjects: ['other'], max_bytes: 1_000_000 })
      await fails('storage-full', () => store.check())
      await fails('storage-full', () => store.put([randomBytes(1000)]))
      await jsm.streams.delete('OTHER')
      await store.check()
      assert.ok(await store.has((await store.put([randomBytes(1000)])).key))
    },
    {
      config: 'accounts { A { jetstream { max_file: 1000000 }, users: [{ user: a, password: a }] } }\nno_auth_user: a',
    },
  ))

test('a put waits for its acknowledgements, a body for its reader', () =>
  withBucket(async ({ nc, jsm, store }) => {
    let produced = 0
    async function* counted() {
      for (const piece of pieces(16)) {
        if (produced % (1 << 20) === 0 && produced > 0) {
          const { bytes } = (await jsm.streams.info('OBJ_images')).state
          assert.ok(produced - bytes <= 2 << 20, `${produced - bytes} bytes were under way`)
        }
        produced += piece.length
        yield piece
      }
    }
    await store.check()
    const { key } = await store.put(counted())
    const before = nc.stats().inBytes
    const reader = (await store.get(key))?.body.getReader()
    await reader?.read()
    await nc.flush()
    assert.ok(nc.stats().inBytes - before < 1 << 20)
    await reader?.cancel()
  }))

for (const damage of ['first', 'middle', 'last', 'every'] as const) {
  test(`an image whose ${damage} chunk is missing is damaged, and mended by the next put`, () =>
    withBucket(async ({ nc, jsm, store }) => {
      const image = pieces(1)
      const { key } = await store.put(image)
      const id = (await (await nc.jetstream().views.os('images')).info(key))?.nuid
      const { first_seq, last_seq } = (await jsm.streams.info('OBJ_images')).state
      const doomed = { first: [first_seq], middle: [first_seq + 3], last: [last_seq - 1], every: [] }[damage]
      for (const seq of doomed) await jsm.streams.deleteMessage('OBJ_images', seq)
      if (damage === 'every') await jsm.streams.purge('OBJ_images', { filter: `$O.images.C.${id}` })
      await fails('image-damaged', async () => hashOf((await store.get(key))?.body))
      await store.put(image)
      assert.is(await hashOf((await store.get(key))?.body), key)
    }))
}

test('what other programs put under its hash can be read, and they read what we put', () =>
  withBucket(async ({ nc, store }) => {
    const os = await nc.jetstream().views.os('images')
    const theirs = randomBytes(300_000)
    const key = createHash('sha256').update(theirs).digest('hex')
    await os.putBlob({ name: key }, theirs)
    assert.is(await hashOf((await store.get(key))?.body), key)
    const ours = randomBytes(300_000)
    const put = await store.put([ours])
    assert.ok(ours.equals((await os.getBlob(put.key)) ?? new Uint8Array()))
    await os.delete(key)
    assert.is(await store.has(key), false)
    assert.is(await store.get(key), null)
  }))

test('chunks that a dead process left are removed after a day, and nothing else', () =>
  withBucket(async ({ nc, jsm, store }) => {
    const { key } = await store.put(pieces(1))
    await nc.jetstream().publish('$O.images.C.abandoned', randomBytes(1000))
    assert.is(await store.tidy(), 0)
    const tomorrow = natsObjectStore(nc, 'images', { now: () => Date.now() + 25 * 3_600_000 })
    assert.is(await tomorrow.tidy(), 1)
    assert.is(await tomorrow.tidy(), 0)
    assert.is(await chunkCount(jsm), 8)
    assert.is(await hashOf((await store.get(key))?.body), key)
  }))

test.run()
