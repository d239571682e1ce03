import process from 'node:process'
import { nkeys } from 'nats'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ErrorCode, FaafoError } from '../../events/errors.ts'
import type { FractalEvent, NewEvent } from '../../events/events.ts'
import { parkedIdOf } from '../../events/parked.ts'
import { openBroker } from '../../services/platform/broker.ts'
import { type Appended, createLog, type Log } from '../../services/platform/log.ts'
import { decideOn, parkedEvents } from '../../services/platform/parked-events.ts'
import { keptLog } from '../api/with-api.ts'
import { reconfigure, withBroker } from '../support/broker.ts'
import { freeze } from '../support/freeze.ts'
import { completed } from '../support/legal-history.ts'
import { brokerConfigOf } from '../support/read-model.ts'
import { until } from '../support/until.ts'
import { identified, requested, withAdministration, withLog } from './with-log.ts'

const uuid = v4()
const completedBy = (generatedBy: string): FractalEvent => {
  const event = completed(1)
  return identified({ ...event, fractal: uuid, data: { ...event.data, generatedBy } })
}

async function assertRefused(work: Promise<unknown>, code: ErrorCode): Promise<FaafoError> {
  const error = await work.then(
    () => null,
    (thrown) => thrown,
  )
  if (!(error instanceof FaafoError) || error.code !== code) throw error ?? new Error(`it was not refused as ${code}`)
  return error
}

test('an event stands in its slot once it was appended', () =>
  withLog(async ({ log }) => {
    const event = requested(uuid)
    const { won, event: recorded } = await log.append(event)
    assert.ok(won)
    assert.is(recorded.seq, 1)
    const { recordedAt, ...stored } = (await log.at(1)) ?? { recordedAt: 0 }
    assert.equal(stored, { ...event, seq: 1 })
    assert.ok(recordedAt > 0)
    const { lastSeq, created } = await log.head()
    assert.is(lastSeq, 1)
    assert.ok(Date.parse(created) > 0)
    assert.is(await log.at(2), null)
  }))

test('a taken slot answers with who has it', () =>
  withLog(async ({ log }) => {
    const [first, second] = [completedBy('one'), completedBy('two')]
    await log.append(first)
    const lost = await log.append(second)
    assert.not.ok(lost.won)
    assert.is(lost.event.id, first.id)
    assert.is((await log.head()).lastSeq, 1)
  }))

test('an event that is appended again has won already', () =>
  withLog(async ({ log }) => {
    const event = requested()
    await log.append(event)
    const again = await log.append(event)
    assert.ok(again.won)
    assert.is(again.event.seq, 1)
    assert.is((await log.head()).lastSeq, 1)
  }))

test('racers on one slot agree on who won', () =>
  withLog(async ({ server, log, logger }) => {
    const others = [1, 2].map((n) => openBroker(brokerConfigOf(server.url), `racer ${n}`, logger))
    await Promise.all(others.map(({ ready }) => ready))
    const racers = [log, ...others.map((each) => createLog(each))]
    for (let round = 0; round < 50; round++) {
      const fractal = v4()
      const outcomes = await Promise.all(racers.map((racer) => racer.append(requested(fractal))))
      assert.is(outcomes.filter(({ won }) => won).length, 1)
      assert.is(new Set(outcomes.map(({ event }) => event.id)).size, 1)
    }
    assert.is((await log.head()).lastSeq, 50)
    for (const other of others) await other.close()
  }))

/** Appends until it is certain how it went. */
async function appendAtLast(log: Log, event: FractalEvent): Promise<Appended> {
  for (;;) {
    try {
      return await log.append(event)
    } catch (error) {
      if (!(error instanceof FaafoError) || error.code !== 'log-unavailable') throw error
      await new Promise((done) => setTimeout(done, 50))
    }
  }
}

test('a broker killed while events are appended loses none that was confirmed, and keeps none twice', () =>
  withLog(async ({ server, log }) => {
    const appended: Appended[] = []
    let stop = false
    const writers = Array.from({ length: 20 }, async () => {
      while (!stop) appended.push(await appendAtLast(log, requested()))
    })
    for (let kills = 1; kills <= 3; kills++) {
      const before = appended.length
      await until(() => appended.length > before + 100, { what: 'events are appended' })
      await server.kill()
      await server.restart()
    }
    stop = true
    await Promise.all(writers)
    assert.ok(appended.every(({ won }) => won))
    assert.is((await log.head()).lastSeq, appended.length)
    for (const { event } of appended) assert.is((await log.at(event.seq))?.id, event.id)
  }))

test('an append that gets no answer is not certain, names the uuid, and may be repeated', () =>
  withLog(async ({ server, log }) => {
    const event = requested()
    await freeze(server.pid())
    try {
      const error = await assertRefused(log.append(event), 'log-unavailable')
      assert.match(error.message, /cannot be sure .* did not confirm it in time$/)
      assert.equal([error.details.uuid, error.details.isUnsure], [event.fractal, true])
    } finally {
      process.kill(server.pid(), 'SIGCONT')
    }
    assert.ok((await appendAtLast(log, event)).won)
    assert.is((await log.head()).lastSeq, 1)
  }))

test('an append whose answer is late is repeated until it is certain', () =>
  withLog(async ({ server, log }) => {
    const event = requested()
    await freeze(server.pid())
    const appending = log.append(event, { withinMs: 60_000 })
    setTimeout(() => process.kill(server.pid(), 'SIGCONT'), 1_500)
    assert.ok((await appending).won)
    assert.is((await log.head()).lastSeq, 1)
  }))

test('without its broker every operation says so, and all goes on once it is back', () =>
  withLog(async ({ server, broker, log }) => {
    await server.kill()
    await until(() => !broker.isConnected(), { what: 'the loss was noticed' })
    await assertRefused(log.append(requested()), 'log-unavailable')
    await assertRefused(log.read(broker.names.removed(uuid)), 'log-unavailable')
    await assertRefused(log.load(uuid), 'log-unavailable')
    await assertRefused(log.head(), 'log-unavailable')
    await server.restart()
    assert.ok((await appendAtLast(log, requested())).won)
  }))

test('an append that is called off ends before its time', () =>
  withLog(async ({ server, log }) => {
    await server.kill()
    const signal = AbortSignal.timeout(10)
    await assertRefused(log.append(requested(), { withinMs: 3_600_000, signal }), 'log-unavailable')
  }))

test('an append that the broker does not permit is given up, however patient its caller, and may be repeated', () => {
  const { logger, lines } = keptLog()
  const key = nkeys.createUser()
  const user = (permissions: string) => `{ nkey: ${key.getPublicKey()}, permissions: { ${permissions} } }`
  const [mayAll, mayRead] = ['publish: ">"', 'publish: { allow: ">", deny: "fractal.>" }']
  return withBroker(
    async (server) => {
      const nkeySeed = new TextDecoder().decode(key.getSeed())
      const broker = openBroker({ ...brokerConfigOf(server.url), nkeySeed }, 'test', logger)
      await broker.ready
      const log = createLog(broker)
      const event = requested()
      await assertRefused(log.append(event, { withinMs: 24 * 3_600_000 }), 'log-unavailable')
      const said = lines().filter(({ msg }) => msg === 'broker refuses')
      assert.is(said[0]?.publish, broker.names.slot(event))
      assert.ok(said.length < 10)

      await reconfigure(server, mayRead, mayAll)
      assert.ok((await appendAtLast(log, event)).won)
      await broker.close()
    },
    { config: `authorization { users: [${user(mayRead)}] }` },
  )
})

test('a log without room refuses for certain, and still gives what it has', () =>
  withLog(async ({ server, broker, log }) => {
    const event = requested()
    await log.append(event)
    await withAdministration(server.url, async (jsm) => {
      const { config } = await jsm.streams.info(broker.names.stream)
      await jsm.streams.update(broker.names.stream, { ...config, max_msgs: 1, discard: 'new' as typeof config.discard })
    })
    const refused = requested()
    const error = await assertRefused(log.append(refused), 'log-full')
    assert.match(error.message, /^cannot append to the log: /)
    assert.ok((await log.append(event)).won)
    assert.is(await log.read(broker.names.slot(refused)), null)
  }))

test('a fractal is told by its own slots, in the order of the log', () =>
  withLog(async ({ log }) => {
    const [generation, worker, error] = [1, 'w', { code: 'x', message: 'y' }]
    const life: NewEvent[] = [
      requested(uuid),
      { type: 'TaskStarted', fractal: uuid, data: { generation, entry: 1, worker, isolated: false } },
      {
        type: 'TaskAttemptFailed',
        fractal: uuid,
        data: { generation, entry: 2, started: 1, worker, error, counted: true },
      },
      { type: 'TaskFailed', fractal: uuid, data: { generation, error, attempts: 1 } },
      { ...requested(uuid), data: { ...requested().data, generation: 2, cause: 'retry' } } as NewEvent,
      { type: 'TaskStarted', fractal: uuid, data: { generation: 2, entry: 1, worker, isolated: false } },
      { ...completed(2), fractal: uuid },
    ]
    for (const event of life) {
      await log.append(identified(event))
      await log.append(requested())
    }
    assert.equal(
      (await log.history(uuid)).map(({ type, seq }) => [type, seq]),
      life.map(({ type }, i) => [type, 2 * i + 1]),
    )
    const task = await log.load(uuid)
    assert.is(task.status, 'completed')
    await log.append(identified({ type: 'TaskDeleted', fractal: uuid, data: {} }))
    assert.is((await log.load(uuid)).status, 'deleted')
    assert.equal(await log.load(v4()), { status: 'unknown' })
  }))

test('an event that others drop counts for nothing after a moment, although it can be read', () =>
  withLog(async ({ broker, log }) => {
    const request = requested()
    const { fractal } = request
    await log.append(request)
    const cancelled = identified({ type: 'TaskCancelled', fractal, data: { generation: 1, reason: 'asked for' } })
    const { event } = await log.append(cancelled)
    assert.is((await log.load(fractal)).status, 'cancelled')
    const parked = parkedEvents(broker)
    const id = parkedIdOf(event)
    const data = { fractal, eventType: event.type, schemaVersion: '1', error: 'no', program: '0' }
    await decideOn(parked, { type: 'park', id, data }, '/test')
    await decideOn(parked, { type: 'drop', id }, '/test')
    await until(async () => (await log.load(fractal)).status === 'requested', { what: 'it counts for nothing' })
  }))

test('installations in two namespaces share a broker and see nothing of each other', () =>
  withLog(async ({ server, log, logger }) => {
    const staging = openBroker(brokerConfigOf(server.url, 'staging'), 'test', logger)
    await staging.ready
    const other = createLog(staging)
    await log.append(requested(uuid))
    assert.ok((await other.append(requested(uuid))).won)
    assert.is((await other.head()).lastSeq, 1)
    await staging.close()
  }))

test.run()
