import { sql } from 'drizzle-orm'
import {
  bigint,
  bigserial,
  doublePrecision,
  index,
  integer,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'

const moment = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: 'date' })
const sequence = (name: string) => bigint(name, { mode: 'number' })

/** Columns of the `fractal` table. */
export const fractalColumns = () => ({
  uuid: uuid('uuid').primaryKey(),
  status: text('status').notNull(),
  checksum: text('checksum'),
  url: text('url'),
  duration: doublePrecision('duration'),
  size: bigint('size', { mode: 'number' }),
  width: integer('width').notNull(),
  height: integer('height').notNull(),
  iterations: integer('iterations').notNull(),
  xa: doublePrecision('xa').notNull(),
  xb: doublePrecision('xb').notNull(),
  ya: doublePrecision('ya').notNull(),
  yb: doublePrecision('yb').notNull(),
  cx: doublePrecision('cx').notNull(),
  cy: doublePrecision('cy').notNull(),
  generatedBy: text('generated_by'),
  pixelChecksum: text('pixel_checksum'),
  imageKey: text('image_key'),
  kernelVersion: text('kernel_version'),
  /** Names of the fields that we chose, separated by commas. */
  chosen: text('chosen').notNull(),
  requestHash: text('request_hash').notNull(),
  generation: integer('generation').notNull(),
  attempts: integer('attempts').notNull(),
  entry: integer('entry').notNull(),
  /** Entries of starts without an end, separated by commas. */
  unended: text('unended').notNull(),
  errorCode: text('error_code'),
  errorMessage: text('error_message'),
  /** Of the program in which it failed; null where its event does not say. */
  errorVersion: text('error_version'),
  requestedAt: moment('requested_at').notNull(),
  startedAt: moment('started_at'),
  finishedAt: moment('finished_at'),
  updatedAt: moment('updated_at').notNull(),
  /** Log position of the first TaskRequested: the order of creation. */
  firstSeq: sequence('first_seq').notNull(),
  firstId: uuid('first_id').notNull(),
  /** Log position of the last event that changed the row. */
  lastSeq: sequence('last_seq').notNull(),
  lastId: uuid('last_id').notNull(),
})

/** The read model: one row for every fractal that was requested and not removed. Written by the projector alone. */
export const fractal = pgTable('fractal', fractalColumns(), (t) => [
  // One for every field that a query can filter or order by; the list's default order is first_seq.
  uniqueIndex('fractal_first_seq').on(t.firstSeq),
  index('fractal_status').on(t.status, t.firstSeq),
  index('fractal_checksum').on(t.checksum),
  index('fractal_duration').on(t.duration),
  index('fractal_size').on(t.size),
  index('fractal_width').on(t.width),
  index('fractal_height').on(t.height),
  index('fractal_iterations').on(t.iterations),
  index('fractal_xa').on(t.xa),
  index('fractal_xb').on(t.xb),
  index('fractal_ya').on(t.ya),
  index('fractal_yb').on(t.yb),
  index('fractal_cx').on(t.cx),
  index('fractal_cy').on(t.cy),
  index('fractal_generated_by').on(t.generatedBy),
  index('fractal_requested_at').on(t.requestedAt),
  index('fractal_finished_at').on(t.finishedAt),
])

/** Columns of the `fractal_version` table: the same, of which none is a key by itself. */
export const versionColumns = () => ({ ...fractalColumns(), uuid: uuid('uuid').notNull() })

/**
 * Every state that any fractal was ever in, as a row of the read model from the event `last_seq` on until the next of
 * the same `first_seq`. A removed one has a last row of the status `deleted`. Rows are added and never changed.
 */
export const fractalVersion = pgTable('fractal_version', versionColumns(), (t) => [
  primaryKey({ columns: [t.firstSeq, t.lastSeq] }),
  // How many there were at a moment: so many had come, so many had gone.
  index('fractal_version_created').on(t.lastSeq).where(sql`last_seq = first_seq`),
  index('fractal_version_deleted').on(t.lastSeq).where(sql`status = 'deleted'`),
])

/** Columns of the `held_event` table. */
export const heldColumns = () => ({
  seq: sequence('seq').primaryKey(),
  cursor: text('cursor').notNull(),
  /** Whom it is about; no uuid where the event is a broken one. */
  fractal: text('fractal').notNull(),
  type: text('type').notNull(),
  /** Unix milliseconds, as the fold has them. */
  time: bigint('time', { mode: 'number' }).notNull(),
  /** Why it could not be handled, at the last try; null: it waits only because an earlier one of its fractal is parked. */
  error: text('error'),
  /** Version of the program that could not. */
  program: text('program'),
  tries: integer('tries').notNull().default(0),
  /** When it was parked. */
  since: moment('since'),
})

/**
 * Events that the projection went past without applying them: those that are parked, and the later ones of the same
 * fractals. Rows of `fractal` are as of the first event here that is theirs.
 */
export const heldEvent = pgTable('held_event', heldColumns(), (t) => [index('held_event_fractal').on(t.fractal, t.seq)])

/** How far the projection has come; stands beside the rows that it describes and moves in their transactions. */
export const checkpoint = pgTable('projection_checkpoint', {
  projection: text('projection').primaryKey(),
  seq: sequence('seq').notNull(),
  /** Id of the event at `seq`; null at 0. */
  eventId: text('event_id'),
  /** Creation time of the stream, as the broker tells it; null before the first batch. */
  streamCreated: text('stream_created'),
  /** Unix milliseconds of the event at `seq`. */
  time: bigint('time', { mode: 'number' }).notNull(),
  /** Why the projector stopped, where it did; null while all is well. */
  halted: text('halted'),
  /** Version of the projection that the rows were made by (read-model.ts). */
  version: integer('version').notNull().default(1),
  /** Grows whenever another read model takes over. */
  epoch: integer('epoch').notNull().default(0),
})

/** The recent tries to deliver to webhooks; bounded, and nothing depends on it. Written by the subscribers. */
export const webhookAttempt = pgTable(
  'webhook_attempt',
  {
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    webhook: uuid('webhook').notNull(),
    at: moment('at').notNull(),
    eventId: text('event_id').notNull(),
    cursor: text('cursor'),
    type: text('type').notNull(),
    fractal: text('fractal'),
    attempt: integer('attempt').notNull(),
    status: integer('status'),
    latencyMs: integer('latency_ms').notNull(),
    outcome: text('outcome').notNull(),
    error: text('error'),
    answer: text('answer'),
  },
  (t) => [index('webhook_attempt_newest').on(t.webhook, t.id)],
)

export type FractalRow = typeof fractal.$inferSelect
export type HeldRow = typeof heldEvent.$inferSelect
export type CheckpointRow = typeof checkpoint.$inferSelect
