import { z } from 'zod'
import { fractalParamsSchema } from './fractal.ts'

/*
 * What can happen to a fractal, in the words of the log. Every event stands under one subject (subjects.ts) and each
 * subject is a slot that is filled once; `generation` counts from 1 and grows with every retry, `entry` counts the
 * lines of one generation's attempt record.
 */

const generation = z.int().min(1)
const entry = z.int().min(1)
/** Of the program in which it failed; older events do not say. */
const version = z.string().optional()
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)

/** Why a generation was begun: the first request, a retry of a failed or cancelled one, or the mending of an image. */
export const causes = ['created', 'retry', 'image-lost'] as const

export const dataSchemas = {
  TaskRequested: z.object({
    generation,
    cause: z.enum(causes),
    params: fractalParamsSchema,
    /** Names of the fields that we chose because the caller left them out. */
    chosen: z.array(z.string()),
    requestHash: sha256,
    /** Where the fractal ever had an image: the pixels that a later one must have. */
    expectedPixelChecksum: sha256.optional(),
    actor: z.string().optional(),
    tenant: z.string().optional(),
    queue: z.string().optional(),
    priority: z.int().optional(),
    labels: z.record(z.string(), z.string()).optional(),
  }),
  TaskStarted: z.object({
    generation,
    entry,
    /** Name of the worker, as in `generatedBy`. */
    worker: z.string(),
    /** Rendered alone in a process of its own, because an earlier attempt ended without a word. */
    isolated: z.boolean(),
  }),
  TaskAttemptFailed: z.object({
    generation,
    entry,
    /** The `entry` of the TaskStarted that this ends. */
    started: entry,
    worker: z.string(),
    error: z.object({ code: z.string(), message: z.string() }),
    /** Whether it counts towards TaskFailed; a task handed back at shutdown does not. */
    counted: z.boolean(),
    version,
  }),
  TaskCompleted: z.object({
    generation,
    /** SHA-256 of the PNG file, hex. */
    checksum: sha256,
    /** SHA-256 of the decoded RGB bytes, hex, row-major, top row first. */
    pixelChecksum: sha256,
    /** Bytes of the PNG file. */
    size: z.int().min(1),
    /** Seconds spent on rendering, encoding and storing. */
    duration: z.number().min(0),
    generatedBy: z.string(),
    /** The `entry` of the TaskStarted that led here. */
    started: entry,
    imageKey: z.string(),
    kernelVersion: z.string(),
  }),
  TaskFailed: z.object({
    generation,
    error: z.object({ code: z.string(), message: z.string() }),
    attempts: z.int().min(0),
    version,
  }),
  TaskCancelled: z.object({ generation, reason: z.string() }),
  TaskDeleted: z.object({}),
} as const

export type EventType = keyof typeof dataSchemas
export type EventData = { [T in EventType]: z.output<(typeof dataSchemas)[T]> }

/** Version of each event's data as written today; older ones are upcast on reading (codec.ts). */
export const schemaVersions: Readonly<Record<EventType, number>> = {
  TaskRequested: 1,
  TaskStarted: 1,
  TaskAttemptFailed: 1,
  TaskCompleted: 1,
  TaskFailed: 1,
  TaskCancelled: 1,
  TaskDeleted: 1,
}

/** What a decision yields: what happened, and to which fractal; not yet when, and not yet identified. */
export type NewEvent<T extends EventType = EventType> = {
  [K in T]: { type: K; fractal: string; data: EventData[K] }
}[T]

/** CloudEvents attributes that a decision does not know. */
export type Envelope = {
  /** CloudEvents `id`, also the message id: made once per command, kept over repeats of one publish. */
  id: string
  /** CloudEvents `source`: which process said so, such as `/api/host-1`. */
  source: string
  /** CloudEvents `time`, RFC 3339: the clock of the process that said so. Ordering never uses it. */
  time: string
  /** Shared by everything that one request set off: the id of its first event. */
  correlationid?: string
  /** The event that led to this one. */
  causationid?: string
  /** W3C trace context. */
  traceparent?: string
  /** Unix milliseconds as RFC 3339: when the event was first recorded, on imported events only. */
  recordedtime?: string
  /** The import that brought the event here, on imported events only. */
  importid?: string
}

export type FractalEvent<T extends EventType = EventType> = NewEvent<T> & Envelope

/** An event as it stands in the log. */
export type RecordedEvent<T extends EventType = EventType> = FractalEvent<T> & {
  /** Stream sequence. */
  seq: number
  /** Unix milliseconds at which the broker (or, for an import, the first broker) stored it. */
  recordedAt: number
  /** Unix milliseconds at which this broker stored it, on imported events only. */
  storedAt?: number
}
