import { Buffer } from 'node:buffer'
import { spawn } from 'node:child_process'
import { headers, nanos } from 'nats'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decode, encode } from '../../events/codec.ts'
import { FaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { createLog } from '../../services/platform/log.ts'
import { openMessages } from '../../services/platform/log-messages.ts'
import {
  type LogMessage,
  type LogPosition,
  readLog,
  readMessages,
  startOfLog,
  verifyPosition,
} from '../../services/platform/log-reader.ts'
import { freeze } from '../support/freeze.ts'
import { generateLog } from '../support/generated-log.ts'
import { until } from '../support/until.ts'
import { type LogParts, requested, withAdministration, withLog } from './with-log.ts'

type Reading = { events: RecordedEvent[]; sizes: number[]; error: unknown; ended: boolean; stop(): Promise<void> }

/** Reads on in the background; between batches it waits for `pace`. */
function startReading(
  parts: LogParts,
  {
    from = startOfLog,
    batchSize = 1_000,
    pace = async () => {},
  }: { from?: LogPosition; batchSize?: number; pace?: () => Promise<void> } = {},
): Reading {
  const controller = new AbortController()
  const reading: Reading = {
    events: [],
    sizes: [],
    error: null,
    ended: false,
    async stop() {
      controller.abort()
      await running
    },
  }
  const running = (async () => {
    try {
      for await (const batch of readLog(parts, { from, batchSize, signal: controller.signal })) {
        reading.events.push(...batch)
        reading.sizes.push(batch.length)
        await pace()
      }
    } catch (error) {
      reading.error = error
    }
    reading.ended = true
  })()
  return reading
}

const read = (reading: Reading, count: number) =>
  until(() => reading.events.length >= count || reading.ended, {
    what: () => `${count} events are read, now ${reading.events.length}`,
    withinMs: 60_000,
  })

const upTo = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i)
const seqsOf = (reading: Reading) => reading.events.map(({ seq }) => seq)

test('all events are read in order, in batches of no more than was asked for', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 3_000)
    const reading = startReading(parts, { batchSize: 400 })
    await read(reading, 3_000)
    await reading.stop()
    assert.equal(seqsOf(reading), upTo(1, 3_000))
    assert.ok(Math.max(...reading.sizes) <= 400)
    assert.is(reading.error, null)
  }))

test('reading begins after the given position, and what happens later is read as it happens', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 30)
    const at = await parts.log.at(20)
    if (!at) throw new Error('it was written')
    const { created } = await parts.log.head()
    const from = { seq: 20, id: at.id, streamCreated: created, time: at.recordedAt }
    const reading = startReading(parts, { from })
    await read(reading, 10)
    const { event } = await parts.log.append(requested())
    await read(reading, 11)
    await reading.stop()
    assert.equal(seqsOf(reading), upTo(21, 31))
    assert.is(reading.events.at(-1)?.id, event.id)
  }))

test('no event is left out or read twice where the broker is killed meanwhile', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 6_000)
    let kills = 0
    const reading = startReading(parts, {
      batchSize: 50,
      async pace() {
        if (reading.events.length < 2_000 * (kills + 1) || kills === 2) return
        kills++
        await parts.server.kill()
        await parts.server.restart()
      },
    })
    await read(reading, 6_000)
    await until(
      () =>
        parts.log.append(requested()).then(
          () => true,
          () => false,
        ),
      { what: 'the broker is back' },
    )
    await read(reading, 6_001)
    await reading.stop()
    assert.is(kills, 2)
    assert.equal(seqsOf(reading), upTo(1, 6_001))
  }))

test('no event is left out where the consumer vanishes', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 300)
    const reading = startReading(parts)
    await read(reading, 300)
    await withAdministration(parts.server.url, async (jsm) => {
      for (const name of await consumersOf(parts)) await jsm.consumers.delete(parts.broker.names.stream, name)
    })
    await parts.log.append(requested())
    await read(reading, 301)
    await reading.stop()
    assert.equal(seqsOf(reading), upTo(1, 301))
  }))

async function consumersOf({ server, broker }: LogParts): Promise<string[]> {
  const names: string[] = []
  await withAdministration(server.url, async (jsm) => {
    for await (const { name } of jsm.consumers.list(broker.names.stream)) names.push(name)
  })
  return names
}

test('an event that comes while its process is too busy to take it is read, although none follows', () =>
  withLog(async (parts) => {
    const reading = startReading(parts)
    await parts.log.append(requested())
    await read(reading, 1)
    // The broker answers while we are busy, for as long as a fetch takes to run out, which is then noticed first.
    await freeze(parts.server.pid())
    const appended = parts.log.append(requested(), { withinMs: 10_000 })
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    spawn('sh', ['-c', `sleep 0.3; kill -CONT ${parts.server.pid()}`])
    for (const end = Date.now() + 6_500; Date.now() < end; );
    await appended
    await read(reading, 2)
    await reading.stop()
    assert.equal(seqsOf(reading), [1, 2])
  }))

test('a reader that takes no batch is sent no more than two', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 3_000)
    let goOn = () => {}
    const held = new Promise<void>((done) => {
      goOn = done
    })
    const reading = startReading(parts, { batchSize: 100, pace: () => held })
    await read(reading, 1)
    await withAdministration(parts.server.url, async (jsm) => {
      const [name = ''] = await consumersOf(parts)
      const { delivered } = await jsm.consumers.info(parts.broker.names.stream, name)
      assert.ok(delivered.consumer_seq <= 200)
    })
    goOn()
    await read(reading, 3_000)
    await reading.stop()
    assert.equal(seqsOf(reading), upTo(1, 3_000))
  }))

test('a reader that stops leaves no consumer behind', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 300)
    const reading = startReading(parts)
    await read(reading, 300)
    await reading.stop()
    await until(async () => (await consumersOf(parts)).length === 0, { what: 'the consumer is gone' })
    assert.is(reading.error, null)
  }))

test('a fault of the program in reading an event ends the reading, and is not taken for an outage', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 30)
    const log = createLog(parts.broker, (message, position) => {
      if (position.seq === 20) throw new TypeError('x is not a function')
      return decode(message, position)
    })
    const reading = startReading({ ...parts, log })
    await read(reading, 30)
    assert.instance(reading.error, TypeError)
    assert.equal(seqsOf(reading), upTo(1, 19))
  }))

test('an event that cannot be read is met after those before it', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 30)
    const event = requested()
    const head = headers()
    for (const [name, value] of Object.entries(encode(event).headers)) head.set(name, value)
    head.set('ce-type', 'TaskPainted')
    await parts.broker.nc().request(parts.broker.names.slot(event), '{}', { headers: head, timeout: 5_000 })
    await parts.log.append(requested())
    const reading = startReading(parts)
    await until(() => reading.ended, { what: 'it gives up' })
    assert.equal(seqsOf(reading), upTo(1, 30))
    if (!(reading.error instanceof FaafoError)) throw reading.error
    assert.is(reading.error.code, 'undecodable-event')
    assert.equal(reading.error.details, { seq: 31, eventId: event.id, eventType: 'TaskPainted' })
  }))

test('events that are missing from the end of the log are not waited for', () =>
  withLog(async (parts) => {
    await generateLog(parts.server.url, 12)
    const { names } = parts.broker
    await withAdministration(parts.server.url, async (jsm) => {
      await jsm.streams.update(names.stream, { max_age: nanos(100), duplicate_window: nanos(100) })
      const isEmpty = async () => (await jsm.streams.info(names.stream)).state.messages === 0
      await until(isEmpty, { what: 'all of them are too old' })
    })
    const reading = startReading(parts)
    await until(() => reading.ended, { what: 'it gives up', withinMs: 60_000 })
    if (!(reading.error instanceof FaafoError)) throw reading.error
    assert.is(reading.error.code, 'log-replaced')
    assert.match(reading.error.message, /events 1 to 12 are missing from the log$/)
  }))

test('imported events keep the time of their first log, which those around them do not heed', () =>
  withLog(async (parts) => {
    const times = ['2020-01-01T00:00:00.000Z', '2100-01-01T00:00:00.000Z']
    await parts.log.append(requested())
    for (const recordedtime of times) await parts.log.append({ ...requested(), recordedtime })
    await parts.log.append(requested())
    const reading = startReading(parts)
    await read(reading, 4)
    await reading.stop()
    const [first, second, third, fourth] = reading.events.map(({ recordedAt }) => recordedAt)
    assert.equal(
      [second, third],
      times.map((time) => Date.parse(time)),
    )
    assert.ok(first !== undefined && fourth !== undefined && fourth >= first && fourth <= Date.now())
  }))

test('times never run backwards over the log', () =>
  withLog(async (parts) => {
    const { event } = await parts.log.append(requested())
    await parts.log.append({ ...requested(), recordedtime: '2020-01-01T00:00:00.000Z' })
    await parts.log.append(requested())
    const time = Date.now() + 3_600_000 // as if the broker's clock had been ahead
    const reading = startReading(parts, { from: { ...startOfLog, seq: 1, id: event.id, time } })
    await read(reading, 2)
    await reading.stop()
    assert.equal(
      reading.events.map(({ recordedAt }) => recordedAt),
      [Date.parse('2020-01-01T00:00:00.000Z'), time],
    )
  }))

test('messages are read whatever they are, undecodable ones too', () =>
  withLog(async (parts) => {
    await parts.log.append(requested())
    const { nc, names } = parts.broker
    await nc().request(names.removed('x'), 'no JSON', { timeout: 5_000 })
    await parts.log.append({ ...requested(), recordedtime: '2020-01-01T00:00:00.000Z' })
    const log = openMessages(parts.broker)
    const messages: LogMessage[] = []
    const done = new AbortController()
    for await (const batch of readMessages({ ...parts, log }, { from: startOfLog, signal: done.signal })) {
      messages.push(...batch)
      if (messages.length === 3) done.abort()
    }
    const [, strange, imported] = messages
    assert.equal([strange?.id, strange?.subject, strange?.headers], ['', 'fractal.removed.x', {}])
    assert.is(Buffer.from(strange?.body ?? []).toString(), 'no JSON')
    assert.is(imported?.recordedAt, Date.parse('2020-01-01T00:00:00.000Z'))
    assert.is(imported?.headers['ce-type'], 'TaskRequested')
    assert.is((await verifyPosition(log, { ...startOfLog, seq: 2, id: '' })).lastSeq, 3)
  }))

test.run()
