import { z } from 'zod'
import {
  type CloudEvent,
  cloudEventSchema,
  type UnreadableCloudEvent,
  unreadableEventSchema,
} from '../../events/cloud-event.ts'
import { fractalRequestSchema } from '../../events/fractal.ts'
import { statuses } from '../../events/task.ts'
import { MOST_VALUES } from '../platform/q.ts'

/* What the api answers, and what it takes beside a request's own fields: the source of /openapi.json and of the
 * client's types. The fields of the original keep their names for ever. */

const time = z.iso.datetime()
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const cursor = z
  .string()
  .meta({ description: '`<sequence>-<first 8 hex digits of the event id>`', example: '42-0198c3a1' })
const whenFinished = <T extends z.ZodType>(schema: T) => schema.nullable()

export const fractalObjectSchema = z
  .object({
    uuid: z.guid(),
    status: z.enum(statuses),
    checksum: whenFinished(sha256).meta({ description: 'SHA-256 of the PNG file; null until the image is finished' }),
    url: whenFinished(z.string()).meta({ description: 'path of the image; null until it is finished' }),
    duration: whenFinished(z.number()).meta({ description: 'seconds of rendering; null until the image is finished' }),
    size: whenFinished(z.int()).meta({ description: 'bytes of the PNG file; null until it is finished' }),
    width: z.int(),
    height: z.int(),
    iterations: z.int(),
    xa: z.number(),
    xb: z.number(),
    ya: z.number(),
    yb: z.number(),
    cx: z.number(),
    cy: z.number(),
    generated_by: whenFinished(z.string()).meta({
      description: 'name of the worker; null until the image is finished',
    }),
    pixel_checksum: whenFinished(sha256).meta({ description: 'SHA-256 of the RGB bytes, row by row from the top' }),
    kernel_version: whenFinished(z.string()),
    generation: z.int().min(1).meta({ description: '1, and one more with every retry' }),
    attempts: z.int().min(0).meta({ description: 'renders begun in this generation' }),
    error: z
      .object({
        code: z.string(),
        message: z.string(),
        version: z
          .string()
          .optional()
          .meta({ description: 'of the program in which it happened, where that is known' }),
      })
      .nullable()
      .meta({ description: 'the last thing that went wrong in this generation' }),
    created_at: time,
    started_at: time.nullable(),
    finished_at: time.nullable(),
    cursor: cursor.meta({ description: 'where the fractal stands in the order of creation: `after=` takes it' }),
    progress: z.number().min(0).max(1).nullable().meta({ description: 'share that is rendered, while rendering' }),
  })
  .meta({ id: 'Fractal' })
export type FractalObject = z.output<typeof fractalObjectSchema>

export const fractalPageSchema = z
  .object({
    num_results: z.int(),
    objects: z.array(fractalObjectSchema),
    page: z.int().meta({ description: 'from 1' }),
    total_pages: z.int().meta({ description: '0 where there is nothing' }),
  })
  .meta({ id: 'FractalPage' })
export type FractalPage = z.output<typeof fractalPageSchema>

export const keysetPageSchema = z
  .object({
    objects: z.array(fractalObjectSchema),
    next: cursor.nullable().meta({ description: 'what `after` takes for the next page; null on the last' }),
  })
  .meta({ id: 'KeysetPage' })
export type KeysetPage = z.output<typeof keysetPageSchema>

export const problemSchema = z
  .looseObject({
    type: z.string().meta({ example: '/problems/not-ready' }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string().meta({ description: 'what programs branch on: the last part of `type`', example: 'not-ready' }),
    message: z.string().meta({ description: 'as `detail`, for clients of the original' }),
    uuid: z.guid().optional().meta({ description: 'on 503: repeat the write with this uuid' }),
    errors: z
      .array(z.object({ pointer: z.string(), detail: z.string() }))
      .optional()
      .meta({ description: 'every mistake, each with a JSON pointer into the request' }),
    state: z.string().optional().meta({ description: 'on illegal-transition: the status that the fractal has' }),
  })
  .meta({ id: 'Problem' })

export const batchItemSchema = z
  .object({
    index: z.int().meta({ description: 'place in the batch, from 0' }),
    status: z.int().meta({ description: 'what a single request would have been answered with', example: 201 }),
    uuid: z.guid().nullable().meta({ description: 'null where the item names none that can be read' }),
    replayed: z.boolean().optional().meta({ description: 'the idempotency key was used before' }),
    object: fractalObjectSchema.optional(),
    problem: problemSchema.optional(),
  })
  .meta({ id: 'BatchItem' })
export type BatchItem = z.output<typeof batchItemSchema>

export const batchAnswerSchema = z.object({ items: z.array(batchItemSchema) }).meta({ id: 'BatchAnswer' })
export type BatchAnswer = z.output<typeof batchAnswerSchema>

export const estimateSchema = z
  .object({
    iterations: z.int().meta({
      description:
        'expected iterations of all pixels together, from a sample; pixels that never escape count with all of theirs',
    }),
    worst_case: z.int().meta({
      description: 'width × height × iterations: held against the budget where cx and cy were left out',
    }),
    within_budget: z
      .boolean()
      .meta({ description: 'false: this installation would refuse the request as it was sent' }),
    budget: z.number().meta({ description: 'most iterations that this installation takes in one request' }),
    seconds: z
      .number()
      .nullable()
      .meta({ description: 'of all threads that are there for it just now, once it is its turn; null where none is' }),
    threads: z.int().meta({ description: 'of the workers heard of lately, blocked ones apart' }),
    cx: z.number().meta({ description: 'of the picture that was estimated: chosen, where none was given' }),
    cy: z.number(),
  })
  .meta({ id: 'Estimate' })
export type Estimate = z.output<typeof estimateSchema>

export const MOST_BATCH_ITEMS = 1_000
export const batchSchema = z.array(fractalRequestSchema).max(MOST_BATCH_ITEMS)

const state = z.enum(['ok', 'degraded', 'unavailable'])
const part = { status: state, reason: z.string().optional() }

export const projectionSchema = z.object({
  ...part,
  seq: z.int().nullable().meta({ description: 'last event in the tables' }),
  lag_events: z.int().nullable(),
  lag_seconds: z.number().nullable().meta({ description: 'age of the oldest event that is not in the tables' }),
  parked: z.int().nullable().meta({
    description: 'events that could not be handled; the fractals that they belong to stay as they were before them',
  }),
})

export const readySchema = z
  .object({
    status: state.meta({ description: 'unavailable: this api cannot append' }),
    version: z.string(),
    broker: z.object({ ...part, version: z.string().nullable(), replicas: z.int().nullable() }),
    durability: z.object({ ...part, fsync: z.string().nullable() }),
    database: z.object(part),
    storage: z.object({ ...part, kind: z.string() }),
    projection: projectionSchema,
    workers: z.object({ ...part, seen: z.int() }),
  })
  .meta({ id: 'Ready' })
export type Ready = z.output<typeof readySchema>

export const workerSchema = z.object({
  name: z.string(),
  host: z.string(),
  version: z.string(),
  threads: z.int(),
  tasks: z.array(z.string()).meta({ description: 'uuids of the fractals in hand' }),
  state: z.string(),
  reason: z.string().optional(),
})

export const statusSchema = z
  .object({
    version: z.string(),
    queue: z.object({
      depth: z.int().nullable().meta({ description: 'requests with no outcome yet; null while the broker is away' }),
      waiting: z.int().nullable().meta({ description: 'of these, not handed to a worker' }),
      in_hand: z.int().nullable().meta({ description: 'of these, handed to a worker' }),
      oldest_waiting: z
        .object({ uuid: z.guid(), created_at: time, seconds: z.number() })
        .nullable()
        .meta({ description: 'null where none waits, or while the database is away' }),
    }),
    workers: z.array(workerSchema),
    projection: projectionSchema,
  })
  .meta({ id: 'Status' })
export type Status = z.output<typeof statusSchema>

const minSeq = cursor.optional().meta({
  description: 'wait until the tables hold this event (a cursor, or a bare sequence); 503 after a second',
})
export const readQuerySchema = z.object({ min_seq: minSeq })
const asOf = z.string().optional()
export const showQuerySchema = readQuerySchema.extend({
  as_of: asOf.meta({
    description: 'a cursor or a time: the fractal as it was once that event was recorded, or at that time',
    example: '2026-01-31T12:00:00Z',
  }),
})

export const fractalEventsSchema = z
  .object({
    events: z
      .array(z.union([cloudEventSchema, unreadableEventSchema]))
      .meta({ description: 'in the order of the log' }),
  })
  .meta({ id: 'FractalEvents' })
export type FractalEvents = { events: (CloudEvent | UnreadableCloudEvent)[] }

/** Largest keyset page. Numbered pages may be larger: they are streamed. */
export const MOST_KEYSET_RESULTS = 1_000

/** A number in a query, of which every mistake reads the same. */
export function wholeNumber(min: number, max: number, error = `expected a whole number from ${min} to ${max}`) {
  return z.coerce.number({ error }).int({ error }).min(min, { error }).max(max, { error })
}
const resultsExpected = 'expected a whole number from 1 to 1000000000, or -1 for all'

export const listQuerySchema = z.object({
  page: wholeNumber(1, 1e9).optional().meta({ description: 'from 1' }),
  results_per_page: wholeNumber(-1, 1e9, resultsExpected)
    .refine((n) => n !== 0, { error: resultsExpected })
    .optional()
    .meta({ description: 'objects on a page, 10 if not given; -1: all on one page' }),
  q: z
    .string()
    .optional()
    .meta({
      description: `JSON: filters (or \`or\` and \`and\` of filters), order_by, limit, offset, single. Lists for \`in\` and \`not_in\` hold at most ${MOST_VALUES} values together`,
      example:
        '{"filters":[{"name":"width","op":"ge","val":512}],"order_by":[{"field":"duration","direction":"desc"}]}',
    }),
  after: cursor.optional().meta({
    description: `keyset pages in the order of creation, each from after this cursor (0 for the first), up to ${MOST_KEYSET_RESULTS} objects`,
  }),
  limit: wholeNumber(1, MOST_KEYSET_RESULTS).optional().meta({
    description: 'another name of results_per_page',
  }),
  min_seq: minSeq,
  as_of: asOf.meta({
    description:
      'a cursor or a time: the fractals as they were once that event was recorded, or at that time; a keyset page of them without filters takes the same time however long the log is',
    example: '2026-01-31T12:00:00Z',
  }),
})
export type ListQuery = z.output<typeof listQuerySchema>
