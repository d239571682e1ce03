import { type AttemptEvent, type AttemptRecord, evolveAttempts, noAttempts } from '../../events/attempts.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { NewEvent, RecordedEvent } from '../../events/events.ts'
import type { Broker } from '../platform/broker.ts'
import { identify, VERSION } from '../platform/identity.ts'
import type { Appended, Log } from '../platform/log.ts'
import type { Trouble } from './trouble.ts'

export type Request = RecordedEvent<'TaskRequested'>

/**
 * One generation of a task, as a worker reads and writes it. What reads throws `log-unavailable`. What writes outlasts
 * shared trouble; it throws `aborted` where the worker stops before, and `log-replaced` where the log lost the request.
 */
export type AttemptLog = {
  /** Whether nobody needs the picture any more: there is an outcome, or the fractal was removed. */
  isClosed(request: Request): Promise<boolean>
  read(request: Request): Promise<AttemptRecord>
  /** Records a start as this entry. False where another event has the entry. */
  start(request: Request, entry: number, isolated: boolean): Promise<boolean>
  /** Records that the attempt which began as `started` failed, as the first entry that is free. */
  fail(request: Request, started: number, end: { error: TaskError; counted: boolean }): Promise<void>
  /** Records the outcome, or finds that there is one already. */
  conclude(event: NewEvent<'TaskCompleted' | 'TaskFailed'>, request: Request): Promise<{ won: boolean }>
}

type TaskError = { code: string; message: string }

/** How long one try to append may take before it counts as trouble. */
const APPEND_MS = 5_000

/**
 * An append is repeated until it is certain or `signal` fires, when it is tried once more. `worker` is this worker's
 * name.
 */
export function attemptLog(parts: {
  log: Log
  broker: Pick<Broker, 'names' | 'onReconnect'>
  worker: string
  trouble: Trouble
  signal: AbortSignal
}): AttemptLog {
  const { log, broker, worker, trouble, signal } = parts
  const { names } = broker
  const source = `/worker/${worker}`

  /** Fires when the connection comes back: the broker may then be one that lost the end of its log. And with `signal`. */
  let connection = new AbortController()
  broker.onReconnect(() => {
    connection.abort()
    connection = new AbortController()
    if (signal.aborted) connection.abort()
  })
  signal.addEventListener('abort', () => connection.abort(), { once: true })
  const seenOn = new WeakMap<Request, AbortController>()

  /** Throws `log-replaced` where the log lost the request: what is recorded of it would stand in the way of its repetition. */
  async function requireRecorded(request: Request, now: AbortController): Promise<void> {
    const seen = seenOn.get(request) ?? now // it has just been delivered
    if (seen !== now && (await log.messageAt(request.seq))?.id !== request.id) {
      throw new FaafoError('log-replaced', `cannot go on with event ${request.seq}: the log lost it`)
    }
    seenOn.set(request, now)
  }

  /** A slot is filled once, whether or not this program can read by what. */
  async function look(slot: string): Promise<RecordedEvent | 'unreadable' | null> {
    try {
      return await log.read(slot)
    } catch (error) {
      if (isFaafoError(error, 'undecodable-event')) return 'unreadable'
      throw error
    }
  }

  /** Lost, too, to an event that this program cannot read. */
  async function append(event: NewEvent, request: Request): Promise<Pick<Appended, 'won'>> {
    try {
      return await appendReadable(event, request)
    } catch (error) {
      if (isFaafoError(error, 'undecodable-event')) return { won: false }
      throw error
    }
  }

  function appendReadable(event: NewEvent, request: Request): Promise<Appended> {
    const identified = identify(event, source, {
      correlationid: request.correlationid ?? request.id,
      causationid: request.id,
      ...(request.traceparent && { traceparent: request.traceparent }),
    })
    const once = async () => {
      const now = connection
      await requireRecorded(request, now)
      return log.append(identified, { withinMs: APPEND_MS, signal: now.signal })
    }
    return signal.aborted ? once() : trouble.outlast(once, signal)
  }

  return {
    async isClosed({ fractal, data }) {
      const outcome = look(names.outcome(fractal, data.generation))
      // An unfinished first generation is never removed without an outcome: who deletes it cancels it first.
      if (data.generation === 1) return (await outcome) !== null
      const [concluded, removed] = await Promise.all([outcome, look(names.removed(fractal))])
      return concluded !== null || removed !== null
    },

    async read({ fractal, data }) {
      let record = noAttempts
      for (;;) {
        const entry = record.entry + 1
        const event = await look(names.attempt(fractal, data.generation, entry))
        if (!event) return record
        // Of what cannot be read the worst is assumed: a start whose end nobody recorded.
        if (event === 'unreadable') record = { ...record, entry, unended: [...record.unended, entry] }
        else record = evolveAttempts(record, event as AttemptEvent)
      }
    },

    async start(request, entry, isolated) {
      const { fractal, data } = request
      const started = { generation: data.generation, entry, worker, isolated }
      return (await append({ type: 'TaskStarted', fractal, data: started }, request)).won
    },

    async fail(request, started, { error, counted }) {
      const { fractal, data } = request
      for (let entry = started + 1; ; entry++) {
        const failed = { generation: data.generation, entry, started, worker, error, counted, version: VERSION }
        if ((await append({ type: 'TaskAttemptFailed', fractal, data: failed }, request)).won) return
      }
    },

    conclude: append,
  }
}
