import { z } from 'zod'
import {
  type CloudEvent,
  cloudEventSchema,
  type UnreadableCloudEvent,
  unreadableEventSchema,
} from '../../events/cloud-event.ts'
import { cursorPattern } from '../../events/cursor.ts'
import type { EventType } from '../../events/events.ts'
import { uuidSchema } from '../../events/fractal.ts'
import { parseTime } from '../../events/moment.ts'
import { eventTypes } from '../../events/subjects.ts'
import { statuses } from '../../events/task.ts'
import { wholeNumber } from './schemas.ts'

/* What the api says of events, and what it takes for it. */

const listed = (what: string, item: z.ZodType<string>) => {
  const error = `expected ${what}, separated by commas`
  return z
    .string({ error })
    .refine((text) => text.split(',').every((part) => item.safeParse(part).success), { error })
    .optional()
}

const cursorExpected = 'expected a cursor such as 42-0198c3a1, or 0 for all from the beginning'
const timeExpected = 'expected a time such as 2026-01-31T12:00:00Z'

export const MOST_EVENTS = 1_000
const LONGEST_WAIT_S = 60

export const eventsQuerySchema = z.strictObject({
  after: z.string().regex(cursorPattern, { error: cursorExpected }).optional().meta({
    description:
      'only what comes after this cursor, `0` for everything; `Last-Event-ID` goes before it. Without it, and without `since`, from now on',
    example: '42-0198c3a1',
  }),
  since: z
    .string()
    .refine((text) => parseTime(text) !== null, { error: timeExpected })
    .optional()
    .meta({
      description: 'what came into the log from this time on; refused where that is more than a minute ahead',
      example: '2026-01-31T12:00:00Z',
    }),
  type: listed(`event types (${eventTypes.join(', ')})`, z.enum(eventTypes as [EventType, ...EventType[]])).meta({
    description: 'only events of these types, separated by commas',
    example: 'TaskCompleted,TaskFailed',
  }),
  uuid: listed('uuids', uuidSchema).meta({ description: 'only events of these fractals, separated by commas' }),
  status: listed(`states (${[...statuses, 'deleted'].join(', ')})`, z.enum([...statuses, 'deleted'] as const)).meta({
    description: 'only events that lead to one of these states, separated by commas',
    example: 'completed,failed,cancelled',
  }),
  limit: wholeNumber(1, MOST_EVENTS).default(100).meta({ description: 'events on a page of JSON' }),
  wait: wholeNumber(0, LONGEST_WAIT_S)
    .default(0)
    .meta({ description: 'pages of JSON: seconds to wait for a first event where there is none yet' }),
})
export type EventsQuery = z.output<typeof eventsQuerySchema>

const { after, since, type, status } = eventsQuerySchema.shape
export const historyQuerySchema = z.strictObject({
  after: after.meta({
    description:
      'only what comes after this cursor; `Last-Event-ID` goes before it. Without it, and without `since`, from its first event on',
    example: '42-0198c3a1',
  }),
  ...{ since, type, status },
})

export const eventsPageSchema = z
  .object({
    events: z
      .array(z.union([cloudEventSchema, unreadableEventSchema]))
      .meta({ description: 'in the order of the log' }),
    next: z.string().meta({
      description: 'what `after` takes for what follows, also where there was nothing on this page',
      example: '42-0198c3a1',
    }),
    at_end: z.boolean().meta({ description: 'whether the log had nothing more when it was asked for' }),
  })
  .meta({ id: 'EventsPage' })
export type EventsPage = { events: (CloudEvent | UnreadableCloudEvent)[]; next: string; at_end: boolean }

export const progressSchema = z
  .object({
    uuid: z.guid().meta({ description: 'of the fractal' }),
    generation: z.int().nullable().meta({ description: 'of the fractal; null once it is deleted' }),
    status: z.enum([...statuses, 'deleted'] as const).meta({ description: 'its state' }),
    progress: z.number().min(0).max(1).nullable().meta({ description: 'share that is rendered, while rendering' }),
  })
  .meta({ id: 'Progress' })
export type FractalProgress = z.output<typeof progressSchema>
