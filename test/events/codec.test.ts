import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decode, encode, type Message, type Upcasters } from '../../events/codec.ts'
import { FaafoError } from '../../events/errors.ts'
import { type FractalEvent, schemaVersions } from '../../events/events.ts'
import { fractalEvent } from '../support/event-arbitraries.ts'

const position = { seq: 7, storedAt: Date.parse('2026-01-02T03:04:05.678Z') }

/** A message as the broker's client hands it out: an absent header reads as ''. */
const received = ({ headers, body }: Message) => ({ header: (name: string) => headers[name] ?? '', body })

const cancelled: FractalEvent = {
  type: 'TaskCancelled',
  id: '1f2e3d4c-0000-4000-8000-000000000001',
  fractal: '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11',
  source: '/api/host-1',
  time: '2026-01-02T03:04:05.000Z',
  data: { generation: 1, reason: 'asked for' },
}

/** Asserts that `message` is refused as undecodable, with its sequence named, for a reason that matches. */
function assertUndecodable(
  message: Message,
  reason: RegExp,
  ...versions: [lift?: Upcasters, known?: typeof schemaVersions]
) {
  assert.throws(
    () => decode(received(message), position, ...versions),
    (error: unknown) =>
      error instanceof FaafoError &&
      error.code === 'undecodable-event' &&
      error.details.seq === 7 &&
      error.message.startsWith('cannot read event 7: ') &&
      reason.test(error.message),
  )
}

test('decoding gives back every event that was encoded, with its place in the log', () => {
  fc.assert(
    fc.property(fractalEvent, fc.nat(), (event, seq) => {
      const { storedAt } = position
      const decoded = decode(received(encode(event)), { seq, storedAt })
      const times =
        event.recordedtime === undefined
          ? { recordedAt: storedAt }
          : { recordedAt: Date.parse(event.recordedtime), storedAt }
      assert.equal(decoded, { ...event, seq, ...times })
    }),
  )
})

test('a message carries CloudEvents attributes as headers and the data as JSON', () => {
  const { headers, body } = encode({ ...cancelled, causationid: '1f2e3d4c-0000-4000-8000-000000000000' })
  assert.equal(headers, {
    'ce-specversion': '1.0',
    'ce-id': '1f2e3d4c-0000-4000-8000-000000000001',
    'ce-source': '/api/host-1',
    'ce-type': 'TaskCancelled',
    'ce-subject': '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11',
    'ce-time': '2026-01-02T03:04:05.000Z',
    'ce-schemaversion': '1',
    'ce-causationid': '1f2e3d4c-0000-4000-8000-000000000000',
    'content-type': 'application/json',
  })
  assert.equal(JSON.parse(body), { generation: 1, reason: 'asked for' })
})

test('an imported event keeps the time at which it was first recorded, and says when it came here', () => {
  const imported = encode({ ...cancelled, recordedtime: '2020-02-03T04:05:06.007Z' })
  const { recordedAt, storedAt } = decode(received(imported), position)
  assert.equal([recordedAt, storedAt], [Date.parse('2020-02-03T04:05:06.007Z'), position.storedAt])
  const headers = { ...imported.headers, 'ce-recordedtime': 'yesterday' }
  assertUndecodable({ ...imported, headers }, /its ce-recordedtime is not a time/)
})

test('fields that this version does not know are dropped', () => {
  const { headers } = encode(cancelled)
  const decoded = decode(received({ headers, body: '{"generation":1,"reason":"asked for","mood":"fine"}' }), position)
  assert.equal(decoded.data, { generation: 1, reason: 'asked for' })
})

/*
 * An invented past: version 1 of TaskCancelled counted `round` from 0 and had no reason, version 2 had `generation`, and
 * version 3 is today's.
 */
const lift: Upcasters = {
  TaskCancelled: {
    1: ({ round }) => ({ generation: Number(round) + 1 }),
    2: (data) => ({ ...data, reason: 'not recorded' }),
  },
}
const versions = { ...schemaVersions, TaskCancelled: 3 }
const written = (version: string, body: string): Message => ({
  headers: { ...encode(cancelled).headers, 'ce-schemaversion': version },
  body,
})

test('an older version is lifted step by step to the one of today', () => {
  const decoded = decode(received(written('1', '{"round":0}')), position, lift, versions)
  assert.equal(decoded, {
    ...cancelled,
    data: { generation: 1, reason: 'not recorded' },
    seq: 7,
    recordedAt: position.storedAt,
  })
  const halfway = decode(received(written('2', '{"generation":4}')), position, lift, versions)
  assert.equal(halfway.data, { generation: 4, reason: 'not recorded' })
})

test('a version that needs no lifting passes no upcaster', () => {
  const decoded = decode(received(written('3', '{"generation":1,"reason":"asked for"}')), position, lift, versions)
  assert.equal(decoded.data, { generation: 1, reason: 'asked for' })
})

test('a message without a version is of version 1', () => {
  const decoded = decode(received(written('', '{"round":2}')), position, lift, versions)
  assert.equal(decoded.data, { generation: 3, reason: 'not recorded' })
})

test('an older version without an upcaster is refused', () => {
  assertUndecodable(written('1', '{}'), /no upcaster for TaskCancelled version 1/, {}, versions)
})

test('an upcaster that throws does not take the reader with it', () => {
  const broken: Upcasters = {
    TaskCancelled: {
      1: () => {
        throw new TypeError('x')
      },
    },
  }
  assertUndecodable(written('1', '{}'), /upcaster/, broken, { ...schemaVersions, TaskCancelled: 2 })
})

test('a version from the future is refused', () => {
  assertUndecodable(written('2', '{"generation":1,"reason":"x"}'), /version 2 is newer than the version 1/)
})

test('a version that is no counting number is refused', () => {
  for (const version of ['0', '-1', '1.5', 'one'])
    assertUndecodable(written(version, '{"generation":1,"reason":"x"}'), /version/)
})

test('an unknown type is refused, also one that every object has', () => {
  for (const type of ['TaskPainted', 'toString', '__proto__', '']) {
    const { headers, body } = encode(cancelled)
    assertUndecodable({ headers: { ...headers, 'ce-type': type }, body }, /its type '.*' is unknown/)
  }
})

test('a body that is not JSON is refused', () => {
  for (const body of ['', 'x', '{"generation":1']) assertUndecodable(written('1', body), /not JSON/)
})

test('data that does not fit its type is refused, naming the field', () => {
  assertUndecodable(written('1', '{"generation":0,"reason":"x"}'), /does not fit TaskCancelled: generation/)
  assertUndecodable(written('1', 'null'), /does not fit TaskCancelled/)
})

test('an event without an id or a fractal is refused', () => {
  for (const name of ['ce-id', 'ce-subject']) {
    const { headers, body } = encode(cancelled)
    assertUndecodable({ headers: { ...headers, [name]: '' }, body }, /lacks ce-id or ce-subject/)
  }
})

test.run()
