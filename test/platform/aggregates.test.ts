import process from 'node:process'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError } from '../../events/errors.ts'
import { aggregatesOf } from '../../services/platform/aggregates.ts'
import { openBroker } from '../../services/platform/broker.ts'
import { identify } from '../../services/platform/identity.ts'
import { counter, raised } from '../support/counter.ts'
import { freeze } from '../support/freeze.ts'
import { brokerConfigOf } from '../support/read-model.ts'
import { until } from '../support/until.ts'
import { requested, withAdministration, withLog } from './with-log.ts'

test('an event of an aggregate stands in its version, and is read back as it was appended', () =>
  withLog(async ({ broker }) => {
    const counters = aggregatesOf(broker, counter)
    const id = v4()
    assert.is(await counters.newest(id), null)
    assert.equal(await counters.history(id), [])
    const links = { correlationid: v4(), causationid: v4(), traceparent: '00-trace-span-01' }
    const event = identify(
      { type: 'CounterRaised' as const, aggregate: id, version: 1, data: { by: 7 } },
      '/test',
      links,
    )
    const { won, event: appended } = await counters.append(event)
    assert.ok(won)
    const { recordedAt, ...stored } = (await counters.read(id, 1)) ?? { recordedAt: 0 }
    assert.equal(stored, { ...event, seq: 1 })
    assert.ok(recordedAt > 0)
    assert.is(appended.seq, 1)
    assert.is(await counters.read(id, 2), null)
  }))

test('who comes second to a version learns who has it, and who comes again has won already', () =>
  withLog(async ({ broker }) => {
    const counters = aggregatesOf(broker, counter)
    const id = v4()
    const [first, second] = [raised(id, 1, 10), raised(id, 1, 20)]
    await counters.append(first)
    const lost = await counters.append(second)
    assert.not.ok(lost.won)
    assert.is(lost.event.id, first.id)
    assert.ok((await counters.append(first)).won)
    assert.is((await counters.newest(id))?.version, 1)
  }))

test('the newest of any number of versions is found, and all of them in their order', () =>
  withLog(async ({ broker }) => {
    const counters = aggregatesOf(broker, counter)
    const id = v4()
    for (let version = 1; version <= 40; version++) {
      await counters.append(raised(id, version))
      assert.is((await counters.newest(id))?.version, version)
    }
    assert.equal(
      (await counters.history(id)).map(({ version }) => version),
      Array.from({ length: 40 }, (_, i) => i + 1),
    )
    assert.is(await counters.newest(v4()), null)
  }))

test('racers on one version agree on who won', () =>
  withLog(async ({ server, broker, logger }) => {
    const other = openBroker(brokerConfigOf(server.url), 'racer', logger)
    await other.ready
    const racers = [broker, other].map((each) => aggregatesOf(each, counter))
    const id = v4()
    for (let version = 1; version <= 30; version++) {
      const outcomes = await Promise.all(racers.map((racer) => racer.append(raised(id, version))))
      assert.is(outcomes.filter(({ won }) => won).length, 1)
      assert.is(new Set(outcomes.map(({ event }) => event.id)).size, 1)
    }
    await other.close()
  }))

test('an append that got no answer is not certain, and settled by appending it again', () =>
  withLog(async ({ server, broker }) => {
    const counters = aggregatesOf(broker, counter)
    const event = raised(v4(), 1)
    await freeze(server.pid())
    try {
      await counters.append(event).then(
        () => assert.unreachable(),
        (error) => {
          assert.ok(error instanceof FaafoError && error.code === 'log-unavailable')
          assert.match(
            error.message,
            `cannot be sure that CounterRaised of operation '${event.aggregate}' was recorded`,
          )
          assert.is(error.details.uuid, event.aggregate)
        },
      )
    } finally {
      process.kill(server.pid(), 'SIGCONT')
    }
    await until(
      () =>
        counters.append(event).then(
          ({ won }) => won,
          () => false,
        ),
      { what: 'it was appended' },
    )
    assert.is((await counters.history(event.aggregate)).length, 1)
  }))

test('aggregates are in no way of fractals, nor of another namespace, not even one named faafo', () =>
  withLog(async ({ server, broker, log, logger }) => {
    const faafo = openBroker(brokerConfigOf(server.url, 'faafo'), 'test', logger)
    await faafo.ready
    const id = v4()
    await log.append(requested(id))
    for (const each of [broker, faafo]) assert.ok((await aggregatesOf(each, counter).append(raised(id, 1))).won)
    assert.is((await log.head()).lastSeq, 1)
    await faafo.close()
  }))

test('an installation from before gets the second stream, with as many replicas as its log and nothing to be deleted', () =>
  withLog(async ({ server, broker, logger }) => {
    const { stream, aggregateStream, aggregateSubjects } = broker.names
    const reopen = async () => {
      const again = openBroker(brokerConfigOf(server.url), 'test', logger)
      await again.ready
      await again.close()
    }
    await withAdministration(server.url, async (jsm) => {
      await jsm.streams.delete(aggregateStream)
      await reopen()
      const [log, { config }] = await Promise.all([jsm.streams.info(stream), jsm.streams.info(aggregateStream)])
      assert.equal([config.subjects, config.deny_delete, config.deny_purge], [aggregateSubjects, true, true])
      assert.is(config.num_replicas, log.config.num_replicas)
      // A program that knows one kind less has made it, and its operator has added something.
      await jsm.streams.update(aggregateStream, { subjects: ['faafo.else.*.*'] })
      await reopen()
      assert.equal((await jsm.streams.info(aggregateStream)).config.subjects, ['faafo.else.*.*', ...aggregateSubjects])
    })
  }))

test.run()
