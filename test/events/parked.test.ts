import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError } from '../../events/errors.ts'
import {
  decideParked,
  foldParked,
  type ParkCommand,
  type Parked,
  type ParkedRecord,
  parkedIdOf,
} from '../../events/parked.ts'

const id = '42-1f2e3d4c'
const fault = { error: 'cannot read event 42', program: '0.1.0' }
const data = { fractal: '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11', eventType: 'TaskPaused', schemaVersion: '1', ...fault }
const commands: Record<ParkCommand['type'], ParkCommand> = {
  park: { type: 'park', id, data },
  'retry-failed': { type: 'retry-failed', id, data: { error: 'still not', program: '0.2.0' } },
  drop: { type: 'drop', id },
}

/** Given what was decided in this order, as it stands in the stream. */
function given(...types: ParkCommand['type'][]): ParkedRecord[] {
  const records: ParkedRecord[] = []
  for (const type of types) {
    const event = decideParked(commands[type], foldParked(records))
    const seq = records.length + 1
    const envelope = { id: `${seq}`, source: '/test', time: '2026-01-02T03:04:05.000Z', seq, recordedAt: seq }
    if (event) records.push({ ...event, ...envelope })
  }
  return records
}

const after = (...types: ParkCommand['type'][]): Parked | null => foldParked(given(...types))

test('an event is named by its cursor, one whose id is none of ours by its sequence', () => {
  assert.is(parkedIdOf({ seq: 42, id: '1F2E3D4C-0000-4000-8000-000000000001' }), id)
  for (const broken of ['', 'x.y', '1f2e', '1f2e3d4 -']) assert.is(parkedIdOf({ seq: 42, id: broken }), '42')
})

test('nothing is decided about an event until it is parked', () => {
  assert.is(after(), null)
  for (const type of ['drop', 'retry-failed'] as const) {
    assert.throws(
      () => decideParked(commands[type], null),
      (error: unknown) => error instanceof FaafoError && error.code === 'not-found',
    )
  }
})

test('a parked event keeps its first time, and the error and program of the last try', () => {
  assert.equal(after('park'), { ...data, status: 'parked', id, tries: 1, since: 1, version: 1 })
  const twice = { ...data, error: 'still not', program: '0.2.0', status: 'parked', id, tries: 2, since: 1, version: 2 }
  assert.equal(after('park', 'retry-failed'), twice)
  assert.equal(after('park', 'park'), after('park'))
})

test('what was dropped stays dropped, whatever is said of it later', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('park', 'drop', 'retry-failed')), (types) => {
      const dropped = after('park', 'drop')
      assert.is(dropped?.status, 'dropped')
      assert.equal(after('park', 'drop', ...(types as ParkCommand['type'][])), dropped)
    }),
  )
})

test.run()
