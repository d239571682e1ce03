import fc from 'fast-check'
import type { NewEvent, RecordedEvent } from '../../events/events.ts'
import { namesIn } from '../../events/subjects.ts'
import { type Command, decide, fold, shownPixels } from '../../events/task.ts'

/*
 * Every history that the log's rules allow one fractal to have: random commands and workers, each of which may act on
 * a view of the log that is a few events old, and slots that are filled once.
 */

export const uuid = '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11'
export const sha256 = 'ab'.repeat(32)
export const params = { width: 64, height: 48, iterations: 100, xa: -2, xb: 2, ya: -1.5, yb: 1.5, cx: -0.8, cy: 0.156 }
export const startTime = Date.parse('2026-01-02T03:04:05.000Z')

const names = namesIn('')

/** The event as the log would hold it at `seq`, a second after the one before. */
export function recordedAs(event: NewEvent, seq: number): RecordedEvent {
  const id = `00000000-0000-4000-8000-${seq.toString(16).padStart(12, '0')}`
  const recordedAt = startTime + seq * 1000
  return {
    ...event,
    id,
    source: '/test',
    time: new Date(recordedAt - 1).toISOString(),
    seq,
    recordedAt,
  } as RecordedEvent
}

export const recordedAll = (...events: NewEvent[]): RecordedEvent[] => events.map((e, i) => recordedAs(e, i + 1))

type Step = {
  what: 'request' | 'cancel' | 'retry' | 'mend' | 'delete' | 'start' | 'fail' | 'hand-back' | 'give-up' | 'complete'
} & {
  /** By how many events the actor's view is old. */
  lag: number
}

const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom(
    ...(['request', 'cancel', 'retry', 'mend', 'delete', 'give-up'] as const),
    ...(['start', 'start', 'start', 'fail', 'hand-back', 'complete', 'complete', 'retry', 'mend'] as const),
  ),
  lag: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(4)),
})

/** The log of one fractal, in order. */
export const legalHistory: fc.Arbitrary<RecordedEvent[]> = fc
  .array(step, { minLength: 1, maxLength: 40 })
  .map((steps) => historyOf([{ what: 'request', lag: 0 }, ...steps]))

function historyOf(steps: Step[]): RecordedEvent[] {
  const log: RecordedEvent[] = []
  const slots = new Set<string>()
  const append = (event: NewEvent): boolean => {
    const slot = names.slot(event)
    if (slots.has(slot)) return false
    slots.add(slot)
    log.push(recordedAs(event, log.length + 1))
    return true
  }
  for (const { what, lag } of steps) {
    const view = log.slice(0, Math.max(0, log.length - lag))
    const command = commandOf(what, view)
    if (command) {
      try {
        decide(command, fold(view)).map(append)
      } catch {
        // refused
      }
    } else work(what, view, append)
  }
  return log
}

function commandOf(what: Step['what'], view: RecordedEvent[]): Command | null {
  if (what === 'request') return { type: 'request', fractal: uuid, params, chosen: ['cx', 'cy'], requestHash: sha256 }
  if (what === 'cancel') return { type: 'cancel', fractal: uuid, reason: 'asked for' }
  if (what === 'retry' || what === 'mend') {
    return { type: 'retry', fractal: uuid, imageLost: what === 'mend', pixelChecksum: shownPixels(view) }
  }
  return what === 'delete' ? { type: 'delete', fractal: uuid } : null
}

const failure = { code: 'render-failed', message: 'no luck' }

/** A worker acts on the last generation that it sees, whatever else happened to it. */
function work(what: Step['what'], view: RecordedEvent[], append: (event: NewEvent) => boolean): void {
  const generation = view.filter((e) => e.type === 'TaskRequested').length
  if (generation === 0) return
  const worker = 'worker-1'
  const begun = view.flatMap((e) =>
    e.type === 'TaskStarted' && e.data.generation === generation ? [e.data.entry] : [],
  )
  const ended = view.flatMap((e) =>
    e.type === 'TaskAttemptFailed' && e.data.generation === generation ? [e.data.started] : [],
  )
  const started = begun.find((entry) => !ended.includes(entry))
  /** Taken: the entry after it. */
  const record = (make: (entry: number) => NewEvent) => {
    let entry = 1
    while (!append(make(entry))) entry++
  }
  if (what === 'start') {
    record((entry) => ({
      type: 'TaskStarted',
      fractal: uuid,
      data: { generation, entry, worker, isolated: begun.length > ended.length },
    }))
  } else if (started === undefined) {
    return
  } else if (what === 'complete') {
    append(completed(generation, started))
  } else if (what === 'give-up') {
    append({ type: 'TaskFailed', fractal: uuid, data: { generation, error: failure, attempts: begun.length } })
  } else {
    const counted = what === 'fail'
    record((entry) => ({
      type: 'TaskAttemptFailed',
      fractal: uuid,
      data: { generation, entry, started, worker, error: failure, counted },
    }))
  }
}

export const completed = (generation: number, started = 1): NewEvent<'TaskCompleted'> => ({
  type: 'TaskCompleted',
  fractal: uuid,
  data: {
    generation,
    checksum: sha256,
    pixelChecksum: sha256,
    size: 1234,
    duration: 0.5,
    generatedBy: 'worker-1',
    started,
    imageKey: sha256,
    kernelVersion: '1',
  },
})
