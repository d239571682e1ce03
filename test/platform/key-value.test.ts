import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openKeyValue } from '../../services/platform/key-value.ts'
import { positionFrom, webhookStore } from '../../services/platform/webhook-store.ts'
import { withAdministration, withLog } from './with-log.ts'

test('a value is written in the place of the one that was read, and else not', () =>
  withLog(async ({ broker }) => {
    const bucket = openKeyValue(broker, 'some')
    assert.equal(await bucket.get('a.b'), { value: null, revision: 0 }, 'before there is a bucket')
    const first = await bucket.put('a.b', { n: 1 }, 0)
    assert.type(first, 'number')
    assert.equal(await bucket.get('a.b'), { value: { n: 1 }, revision: first })
    assert.is(await bucket.put('a.b', { n: 2 }, 0), null)
    const second = await bucket.put('a.b', { n: 3 }, first ?? 0)
    assert.ok((second ?? 0) > (first ?? 0))
    assert.is(await bucket.put('a.b', { n: 4 }, first ?? 0), null)
    assert.equal((await bucket.get('a.b')).value, { n: 3 })
  }))

test('of many who write at the same time one does', () =>
  withLog(async ({ broker }) => {
    const bucket = openKeyValue(broker, 'some')
    const written = await Promise.all(Array.from({ length: 20 }, (_, i) => bucket.put('key', i, 0)))
    const winners = written.flatMap((revision, i) => (revision === null ? [] : [i]))
    assert.is(winners.length, 1)
    assert.is((await bucket.get('key')).value, winners[0])
  }))

test('what was removed is gone, and who knew it cannot write', () =>
  withLog(async ({ broker }) => {
    const bucket = openKeyValue(broker, 'some')
    await bucket.remove('key') // where there is no bucket
    const revision = (await bucket.put('key', 1, 0)) ?? 0
    await bucket.remove('key')
    assert.equal(await bucket.get('key'), { value: null, revision: 0 })
    assert.is(await bucket.put('key', 2, revision), null)
    assert.type(await bucket.put('key', 2, 0), 'number')
  }))

test('the bucket is one that the nats kv commands know', () =>
  withLog(async ({ broker, server }) => {
    await openKeyValue(broker, 'some').put('key', 1, 0)
    const nc = await broker.ready
    const view = await nc.jetstream().views.kv('some')
    assert.is((await view.get('key'))?.string(), '1')
    await view.delete('key')
    assert.is((await openKeyValue(broker, 'some').get('key')).value, null)
    await withAdministration(server.url, async (jsm) => {
      assert.is((await jsm.streams.info('KV_some')).config.max_msgs_per_subject, 1)
    })
  }))

test('secrets: those before are valid for as long as was said', () =>
  withLog(async ({ broker }) => {
    const store = webhookStore(broker)
    assert.is(await store.createSecret('a', 'whsec_1'), 'whsec_1')
    assert.is(await store.createSecret('a', 'whsec_2'), 'whsec_1', 'it has one already')
    await store.rotateSecret('a', 'whsec_2', { now: 1_000, seconds: 60 })
    const secrets = async (now: number) => (await store.secrets('a', now)).map(({ secret }) => secret)
    assert.equal(await secrets(2_000), ['whsec_2', 'whsec_1'])
    assert.equal(await secrets(61_001), ['whsec_2'])
    await store.rotateSecret('a', 'whsec_3', { now: 2_000, seconds: 60 })
    const three = ['whsec_3', 'whsec_2', 'whsec_1']
    assert.equal(await secrets(3_000), three, 'one that receivers may still hold goes on')
    await store.rotateSecret('a', 'whsec_3', { now: 4_000, seconds: 1 })
    assert.equal(await secrets(4_001), three)
    assert.equal(await secrets(5_001), ['whsec_3'], 'and no longer than was said last')
    await store.rotateSecret('a', 'whsec_4', { now: 2_000, seconds: 0 })
    assert.equal(await secrets(2_001), ['whsec_4'])
  }))

test('parked deliveries are changed by several at the same time, and all of a webhook can be forgotten', () =>
  withLog(async ({ broker }) => {
    const store = webhookStore(broker)
    const parked = (seq: number) => ({
      seq,
      cursor: String(seq),
      type: 'TaskFailed',
      uuid: 'u',
      attempts: 3,
      since: 5,
      error: null,
    })
    await Promise.all([1, 2, 3, 4].map((seq) => store.changeParked('a', (list) => [...list, parked(seq)])))
    assert.equal((await store.parked('a')).map(({ seq }) => seq).sort(), [1, 2, 3, 4])
    assert.type(await store.writePosition('a', positionFrom({ after: '0', version: 1 }), 0), 'number')
    await store.createSecret('a', 'whsec_1')
    await store.forget('a')
    assert.equal(await store.parked('a'), [])
    assert.equal(await store.position('a'), { value: null, revision: 0 })
    assert.equal(await store.secrets('a', 0), [])
  }))

test.run()
