import { type CloudEvent, cloudEventOf, type Ping, type UnreadableCloudEvent } from '../../events/cloud-event.ts'
import { encode } from '../../events/codec.ts'
import type { EventData, EventType, RecordedEvent } from '../../events/events.ts'
import { eventTypes } from '../../events/subjects.ts'
import { VERSION } from '../platform/identity.ts'
import { outside } from '../platform/unreadable.ts'
import type { FractalProgress } from './event-schemas.ts'

/* An event of each type, for those who read about them. */

const fractal = '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11'
const checksum = '5d1e8b0c72f94a36'.repeat(4)
const pixelChecksum = 'c07a49e2186fb35d'.repeat(4)
const failure = { code: 'render-failed', message: 'cannot render the fractal: out of memory' }

const data: EventData = {
  TaskRequested: {
    ...{ generation: 1, cause: 'created', chosen: ['cx', 'cy'], requestHash: '81b7f30a9c4ed625'.repeat(4) },
    params: { width: 640, height: 480, iterations: 255, xa: -2, xb: 2, ya: -1.5, yb: 1.5, cx: -0.8, cy: 0.156 },
  },
  TaskStarted: { generation: 1, entry: 1, worker: 'red', isolated: false },
  TaskAttemptFailed: {
    generation: 1,
    entry: 2,
    started: 1,
    worker: 'red',
    error: failure,
    counted: true,
    version: VERSION,
  },
  TaskCompleted: {
    ...{ generation: 1, checksum, pixelChecksum, size: 26_283, duration: 4.163147, generatedBy: 'red', started: 3 },
    ...{ imageKey: checksum, kernelVersion: 'julia-1' },
  },
  TaskFailed: { generation: 1, error: failure, attempts: 5, version: VERSION },
  TaskCancelled: { generation: 1, reason: 'asked for by a client' },
  TaskDeleted: {},
}

const idOf = (place: number) => `${(0x0198c3a1 + place).toString(16).padStart(8, '0')}-5d2f-4b6a-8e9c-1f2a3b4c5d6e`
const byWorkers: readonly EventType[] = ['TaskStarted', 'TaskAttemptFailed', 'TaskCompleted', 'TaskFailed']

function recorded(type: EventType): RecordedEvent {
  const place = eventTypes.indexOf(type)
  const recordedAt = Date.parse('2026-01-31T12:00:00.250Z') + place * 1_000
  const event = {
    ...{ type, fractal, data: data[type], id: idOf(place), seq: 42 + place, recordedAt },
    source: byWorkers.includes(type) ? '/worker/red' : '/api/host-1',
    time: new Date(recordedAt - 5).toISOString(),
    ...(place > 0 && { correlationid: idOf(0), causationid: idOf(0) }),
  }
  return event as RecordedEvent
}

/** As it is given out over HTTP. */
export const structuredExample = (type: EventType): CloudEvent => cloudEventOf(recorded(type))

/** As it stands in the stream: attributes as headers, and the body parsed. */
export function binaryExample(type: EventType): { headers: Record<string, string>; payload: unknown } {
  const { headers, body } = encode(recorded(type))
  return { headers, payload: JSON.parse(body) }
}

const { id, seq, source, recordedAt } = recorded('TaskCancelled')
export const unreadableExample = outside({
  ...{ id, seq, source, recordedAt, fractal, type: 'TaskCancelled', schemaVersion: '9' },
  unreadable: `cannot read event ${seq}: TaskCancelled version 9 is newer than the version 1 that this program knows`,
}) as UnreadableCloudEvent

const webhook = '6d2b8e1c-3a4f-4d5e-9b7a-0c1d2e3f4a5b'
export const pingExample: Ping = {
  ...{
    specversion: '1.0',
    id: idOf(99),
    source: '/subscribers/host-1',
    type: 'Ping',
    time: '2026-01-31T12:00:00.245Z',
  },
  ...{ datacontenttype: 'application/json', data: { webhook } },
}

/** Headers of what is posted; the signature is that of another one. */
export const webhookHeadersExample = (id: string): Record<string, string> => ({
  'webhook-id': id,
  'webhook-timestamp': '1769860801',
  'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
})

export const progressExample: FractalProgress = { uuid: fractal, generation: 1, status: 'rendering', progress: 0.25 }
