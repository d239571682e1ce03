import { type AttemptEvent, type AttemptRecord, evolveAttempts, noAttempts } from '../../events/attempts.ts'
import type { NewEvent, RecordedEvent } from '../../events/events.ts'
import type { Names } from '../../events/subjects.ts'
import { identify } from '../platform/identity.ts'
import type { Log } from '../platform/log.ts'

export type Request = RecordedEvent<'TaskRequested'>

/** One generation of a task, as a worker reads and writes it. All methods throw `log-unavailable` and `log-full`. */
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

/** A worker has nothing better to do than to record what it has rendered. */
const PATIENCE_MS = 24 * 3_600_000

/** An append is repeated until it is certain or `signal` fires. `worker` is this worker's name. */
export function attemptLog(parts: { log: Log; names: Names; worker: string; signal: AbortSignal }): AttemptLog {
  const { log, names, worker, signal } = parts
  const source = `/worker/${worker}`

  const append = (event: NewEvent, request: Request) =>
    log.append(
      identify(event, source, {
        correlationid: request.correlationid ?? request.id,
        causationid: request.id,
        ...(request.traceparent && { traceparent: request.traceparent }),
      }),
      { withinMs: PATIENCE_MS, signal },
    )

  return {
    async isClosed({ fractal, data }) {
      const outcome = log.read(names.outcome(fractal, data.generation))
      // An unfinished first generation is never removed without an outcome: who deletes it cancels it first.
      if (data.generation === 1) return (await outcome) !== null
      const [concluded, removed] = await Promise.all([outcome, log.read(names.removed(fractal))])
      return concluded !== null || removed !== null
    },

    async read({ fractal, data }) {
      let record = noAttempts
      for (;;) {
        const event = await log.read(names.attempt(fractal, data.generation, record.entry + 1))
        if (!event) return record
        record = evolveAttempts(record, event as AttemptEvent)
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
        const failed = { generation: data.generation, entry, started, worker, error, counted }
        if ((await append({ type: 'TaskAttemptFailed', fractal, data: failed }, request)).won) return
      }
    },

    conclude: append,
  }
}
