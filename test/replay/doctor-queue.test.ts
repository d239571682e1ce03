import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ConsumerConfig } from 'nats'
import { AckPolicy, DeliverPolicy } from 'nats'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError } from '../../events/errors.ts'
import { isAtLeast } from '../../services/platform/broker.ts'
import { readQueue } from '../../services/platform/queue-consumer.ts'
import { withAdministration } from '../platform/with-log.ts'
import { until } from '../support/until.ts'
import { type Clinic, withClinic } from './clinic.ts'

const [STREAM, RENDER] = ['FRACTAL', 'render']

/** A consumer of that name as somebody else might make it. */
const remake = ({ server }: Clinic, config: Partial<ConsumerConfig>) =>
  withAdministration(server.url, async (jsm) => {
    await jsm.consumers.delete(STREAM, RENDER).catch(() => {})
    await jsm.consumers.add(STREAM, {
      ...{ durable_name: RENDER, ack_policy: AckPolicy.Explicit, deliver_policy: DeliverPolicy.All, ack_wait: 10e9 },
      ...{ max_deliver: -1, max_ack_pending: -1, filter_subject: 'fractal.requested.*.*' },
      ...config,
    })
  })

/** A system of which a worker has rendered something, and is gone. */
const withQueue = (use: (p: Clinic) => Promise<void>) =>
  withClinic(async (p) => {
    p.start()
    const endWorker = p.startWorker()
    await p.completed(await p.request())
    await endWorker()
    await p.healthy()
    await use(p)
  })

test('a queue that was deleted while no worker runs is made by the remedy', () =>
  withQueue(async (p) => {
    await withAdministration(p.server.url, async (jsm) => {
      await jsm.consumers.delete(STREAM, RENDER)
    })
    const finding = await p.finding('queue')
    assert.equal(
      [finding.severity, finding.found],
      ['warning', 'the consumer render is missing; the next worker makes it'],
    )
    const mended = await p.carryOut(finding)
    assert.is(mended.code, 1) // what was done already waits to be found done, and no worker is there
    assert.match(mended.stderr, /^queue mended: makes the consumer render\n/)
    p.startWorker()
    await p.healthy()
  }))

test('a queue that was deleted while a worker runs is made again by that one', () =>
  withQueue(async (p) => {
    p.startWorker()
    await until(async () => ((await readQueue(p.parts.broker))?.asks ?? 0) > 0, { what: 'it asks' })
    await withAdministration(p.server.url, async (jsm) => {
      await jsm.consumers.delete(STREAM, RENDER)
    })
    await p.healthy()
    await p.completed(await p.request())
  }))

test('a queue whose settings were changed is mended in place or anew, and what it kept back is rendered', () =>
  withQueue(async (p) => {
    p.startWorker()
    for (const [config, found, how] of [
      [{ max_ack_pending: 7 }, /^max_ack_pending is 7 instead of -1/, 'sets max_ack_pending to -1'],
      [{ ack_wait: 60e9 }, /^ack_wait is 60000000000 instead of 10000000000/, 'sets ack_wait to 10000000000'],
      [
        { filter_subject: 'fractal.requested.*.2' },
        /^filter_subject is .*requests are passed over/,
        'makes the queue anew',
      ],
      [{ deliver_policy: DeliverPolicy.New }, /^deliver_policy is "new" instead of "all"/, 'makes the queue anew'],
      [{ max_deliver: 3, max_waiting: 2 }, /^max_deliver is 3 instead of -1.*max_waiting is 2/, 'makes the queue anew'],
    ] as const) {
      await remake(p, config)
      const request = await p.request()
      const finding = await p.finding('queue-config')
      assert.is(finding.severity, 'wrong')
      assert.match(finding.found, found)
      const { code, stderr } = await p.carryOut(finding)
      assert.is(code, 0, stderr)
      assert.match(stderr, `queue-config mended: ${how}`)
      await p.completed(request)
    }
  }))

test('a request that the queue has passed although it has no outcome is found, and rendered after all', () =>
  withQueue(async (p) => {
    const request = await p.request()
    const consumer = await p.parts.broker.nc().jetstream().consumers.get(STREAM, RENDER)
    ;(await consumer.next())?.ack()
    const finding = await p.finding('requests')
    assert.is(finding.severity, 'wrong')
    assert.is(finding.found, `the queue has passed requests that have no outcome: ${request}; no worker will take them`)
    await p.carryOut(finding)
    p.startWorker()
    await p.completed(request)
    await p.healthy()
  }))

test('a queue that stands beyond the end of the log', () =>
  withQueue(async (p) => {
    const stream = join(p.server.storeDir, 'jetstream', '$G', 'streams', STREAM, 'msgs')
    await p.server.stop()
    await cp(stream, `${stream}-copy`, { recursive: true })
    await p.server.restart()
    await p.reconnected()
    const endWorker = p.startWorker()
    for (let n = 0; n < 3; n++) await p.completed(await p.request())
    await p.caughtUp()
    await endWorker()
    await p.server.stop()
    await rm(stream, { recursive: true })
    await cp(`${stream}-copy`, stream, { recursive: true })
    await p.server.restart()
    await p.reconnected()
    const found = await p.ailing()
    assert.ok(found.some(({ check }) => check === 'log-end'))
    const finding = found.find(({ check }) => check === 'queue-position')
    const { delivered = 0 } = (await readQueue(p.parts.broker)) ?? {}
    assert.is(finding !== undefined, delivered > 3) // newer brokers set it back by themselves
    if (finding) {
      assert.match(finding.found, `it stands at event ${delivered}, beyond event 3 at which the log ends`)
      await p.carryOut(finding)
    }
    for (const one of found.filter(({ check }) => check === 'log-end')) await p.carryOut(one)
    p.startWorker()
    await p.completed(await p.request())
    await p.healthy()
  }))

test('a queue that somebody paused is resumed', () =>
  withQueue(async (p) => {
    if (!isAtLeast(p.server.version, '2.11.0')) return
    await withAdministration(p.server.url, async (jsm) => {
      await jsm.consumers.pause(STREAM, RENDER, new Date(Date.now() + 3_600_000))
    })
    p.startWorker()
    const request = await p.request()
    const finding = await p.finding('queue-flow')
    assert.is(finding.found, 'somebody has paused it: nothing is delivered')
    assert.is((await p.carryOut(finding)).code, 0)
    await p.completed(request)
    await p.healthy()
  }))

test('workers that take no work are told with the reason', () =>
  withQueue(async (p) => {
    let isOff = true
    const off = () => Promise.reject(new FaafoError('storage-unavailable', 'cannot store the image: switched off'))
    const images = {
      ...p.images,
      check: () => (isOff ? off() : p.images.check()),
      put: (...args: Parameters<typeof p.images.put>) => (isOff ? off() : p.images.put(...args)),
    }
    p.startWorker({ images })
    const request = await p.request()
    const finding = await p.finding('workers')
    assert.is(finding.found, 'every worker takes no work: cannot store the image: switched off')
    isOff = false
    await p.completed(request)
    await p.healthy()
  }))

test.run()
