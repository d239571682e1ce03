import { z } from 'zod'
import { fractalParamsSchema } from './fractal.ts'

/*
 * What can happen to a fractal, in the words of the log. Every event stands under one subject (subjects.ts) and each
 * subject is a slot that is filled once; `generation` counts from 1 and grows with every retry, `entry` counts the
 * lines of one generation's attempt record.
 */

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const generation = z.int().min(1).meta({ description: 'of the fractal: 1, and one more with every retry' })
const entry = z.int().min(1).meta({ description: 'line of the attempt record of this generation, from 1 without gaps' })
const started = entry.meta({ description: 'the `entry` of the TaskStarted that this ends' })
const worker = z.string().meta({ description: 'name of the worker, as in `generatedBy`' })
const error = z
  .object({
    code: z.string().meta({ description: 'what programs branch on, such as `render-failed`' }),
    message: z.string().meta({ description: 'for people: what could not be done, and why' }),
  })
  .meta({ description: 'what went wrong' })
const version = z
  .string()
  .optional()
  .meta({ description: 'of the program in which it failed; events of older programs do not say' })
const unused = (what: string) => ({ description: `${what}; nothing sets it so far` })

/** Why a generation was begun: the first request, a retry of a failed or cancelled one, or the mending of an image. */
export const causes = ['created', 'retry', 'image-lost'] as const

/** What each event says. The descriptions go into the JSON Schemas, and so to whoever reads events elsewhere. */
export const dataSchemas = {
  TaskRequested: z.object({
    generation,
    cause: z.enum(causes).meta({
      description:
        'why this generation was begun: the first request, a retry of a failed or cancelled one, or the mending of a lost image',
    }),
    params: fractalParamsSchema.meta({ description: 'everything that decides the pixels' }),
    chosen: z
      .array(z.string())
      .meta({ description: 'names of the fields that were chosen here, because the caller left them out' }),
    requestHash: sha256.meta({
      description: 'SHA-256 of the request as it was sent, the uuid apart, hex: the same where the same was asked for',
    }),
    expectedPixelChecksum: sha256.optional().meta({
      description: 'where the fractal ever had an image: the `pixelChecksum` that a later one must have',
    }),
    actor: z.string().optional().meta(unused('who asked for it')),
    tenant: z.string().optional().meta(unused('for whom it was asked')),
    queue: z.string().optional().meta(unused('whose workers render it')),
    priority: z.int().optional().meta(unused('how urgent it is')),
    labels: z.record(z.string(), z.string()).optional().meta(unused('what the caller calls it')),
  }),
  TaskStarted: z.object({
    generation,
    entry,
    worker,
    isolated: z.boolean().meta({
      description: 'rendered alone in a process of its own, because an earlier attempt ended without a word',
    }),
  }),
  TaskAttemptFailed: z.object({
    generation,
    entry,
    started,
    worker,
    error,
    counted: z.boolean().meta({
      description: 'whether it counts towards TaskFailed; a task handed back at shutdown does not',
    }),
    version,
  }),
  TaskCompleted: z.object({
    generation,
    checksum: sha256.meta({ description: 'SHA-256 of the PNG file, hex' }),
    pixelChecksum: sha256.meta({
      description: 'SHA-256 of the decoded RGB bytes, hex, row-major, top row first: the same picture has the same one',
    }),
    size: z.int().min(1).meta({ description: 'bytes of the PNG file' }),
    duration: z.number().min(0).meta({ description: 'seconds spent on rendering, encoding and storing' }),
    generatedBy: z.string().meta({ description: 'name of the worker' }),
    started,
    imageKey: z.string().meta({ description: 'where the image is in the image storage' }),
    kernelVersion: z.string().meta({ description: 'of the code that drew it' }),
  }),
  TaskFailed: z.object({
    generation,
    error,
    attempts: z.int().min(0).meta({ description: 'renders of this generation that count' }),
    version,
  }),
  TaskCancelled: z.object({ generation, reason: z.string().meta({ description: 'why, for people' }) }),
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
