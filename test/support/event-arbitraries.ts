import fc from 'fast-check'
import {
  causes,
  type Envelope,
  type EventData,
  type EventType,
  type FractalEvent,
  type NewEvent,
} from '../../events/events.ts'
import { type FractalParams, type FractalRequest, LIMITS } from '../../events/fractal.ts'

/* fast-check arbitraries of everything that can stand in the log or come in as a request. */

/** fast-check's records lack the prototype that an object literal has; a clone has it. */
const plain = <T>(value: T): T => structuredClone(value)

/** Finite, and never −0: JSON does not know it. */
const coordinate = fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number))
const side = fc.integer({ min: LIMITS.minSide, max: LIMITS.maxSide })
const count = fc.integer({ min: 1, max: 1_000_000 })
const sha256 = fc.stringMatching(/^[0-9a-f]{64}$/)
const failure = fc.record({ code: fc.string(), message: fc.string() })
const window = { xa: coordinate, xb: coordinate, ya: coordinate, yb: coordinate }
const size = { width: side, height: side, iterations: fc.integer({ min: 1, max: LIMITS.maxIterations }) }

export const fractalParams: fc.Arbitrary<FractalParams> = fc
  .record({ ...size, ...window, cx: coordinate, cy: coordinate })
  .map(plain)

/** Requests within all limits; the compute budget is another matter. */
export const fractalRequest: fc.Arbitrary<FractalRequest> = fc
  .record(
    { uuid: fc.uuid(), ...size, ...window, c: fc.record({ cx: coordinate, cy: coordinate }) },
    { requiredKeys: ['width', 'height', 'iterations', 'xa', 'xb', 'ya', 'yb'] },
  )
  .map(({ c, ...request }) => ({ ...request, ...c }))

const data: { [T in EventType]: fc.Arbitrary<EventData[T]> } = {
  TaskRequested: fc.record(
    {
      generation: count,
      cause: fc.constantFrom(...causes),
      params: fractalParams,
      chosen: fc.array(fc.constantFrom('uuid', 'cx', 'cy')),
      requestHash: sha256,
      expectedPixelChecksum: sha256,
      actor: fc.string(),
      tenant: fc.string(),
      queue: fc.string(),
      priority: fc.integer(),
      labels: fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9]*$/), fc.string()),
    },
    { requiredKeys: ['generation', 'cause', 'params', 'chosen', 'requestHash'] },
  ),
  TaskStarted: fc.record({ generation: count, entry: count, worker: fc.string(), isolated: fc.boolean() }),
  TaskAttemptFailed: fc.record(
    {
      generation: count,
      entry: count,
      started: count,
      worker: fc.string(),
      error: failure,
      counted: fc.boolean(),
      version: fc.string(),
    },
    { requiredKeys: ['generation', 'entry', 'started', 'worker', 'error', 'counted'] },
  ),
  TaskCompleted: fc.record({
    generation: count,
    checksum: sha256,
    pixelChecksum: sha256,
    size: count,
    duration: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }),
    generatedBy: fc.string(),
    started: count,
    imageKey: fc.string(),
    kernelVersion: fc.string(),
  }),
  TaskFailed: fc.record(
    { generation: count, error: failure, attempts: fc.nat(), version: fc.string() },
    { requiredKeys: ['generation', 'error', 'attempts'] },
  ),
  TaskCancelled: fc.record({ generation: count, reason: fc.string() }),
  TaskDeleted: fc.constant({}),
}

const newEventOf = <T extends EventType>(type: T): fc.Arbitrary<NewEvent<T>> =>
  fc.record({ type: fc.constant(type), fractal: fc.uuid(), data: data[type] }) as unknown as fc.Arbitrary<NewEvent<T>>

const eventTypes = Object.keys(data) as EventType[]
export const newEvent: fc.Arbitrary<NewEvent> = fc.oneof(...eventTypes.map((type) => newEventOf(type))).map(plain)

const instant = fc
  .date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true })
  .map((date) => date.toISOString())
const envelope: fc.Arbitrary<Envelope> = fc.record(
  {
    id: fc.uuid(),
    source: fc.webPath().map((path) => `/${path}`),
    time: instant,
    correlationid: fc.uuid(),
    causationid: fc.uuid(),
    traceparent: fc.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/),
    recordedtime: instant,
    importid: fc.stringMatching(/^[0-9a-f]{32}$/),
  },
  { requiredKeys: ['id', 'source', 'time'] },
)

export const fractalEvent: fc.Arbitrary<FractalEvent> = fc
  .tuple(newEvent, envelope)
  .map(([event, attributes]) => ({ ...event, ...attributes }))
