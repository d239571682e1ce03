import type { Context } from 'hono'
import type { z } from 'zod'
import { idPrefixOf, parseCursor } from '../../events/cursor.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { explain, invalidRequest } from '../../events/fractal.ts'
import { parseTime } from '../../events/moment.ts'
import { parkedIdOf } from '../../events/parked.ts'
import { statusAfter } from '../../events/status-after.ts'
import type { FeedEvent } from '../platform/feed.ts'
import { type LogPosition, startOfLog, verifyPosition } from '../platform/log-reader.ts'
import { lastSeqBy } from '../platform/log-time.ts'
import { outside } from '../platform/unreadable.ts'
import type { Api } from './api.ts'
import { type EventsPage, type EventsQuery, eventsQuerySchema } from './event-schemas.ts'
import { type Chunk, frameOf, wantsStream } from './streams.ts'

/** How long a page of JSON reads on towards the log's end for events that match before it is answered as it is. */
const LOOK_MS = 5_000

/** GET /v1/events: a stream, or a page of JSON. */
export async function getEvents(api: Api, c: Context): Promise<Response> {
  const asked = askedOf(c, eventsQuerySchema, 'follow events')
  const from = await beginning(api, asked)
  if (wantsStream(c)) {
    return api.streams.open(c, cursorAt(from), (signal) => chunksOf(api.feed.follow(from, signal), matching(asked)))
  }
  c.header('Vary', 'Accept')
  return c.json(await pageOf(api, c, from, asked))
}

type From = { after?: string | undefined; since?: string | undefined }

/** What a client asks for, after the last event that it had. Throws `invalid-request`; `action` is for the message. */
export function askedOf<Q extends From>(c: Context, schema: z.ZodType<Q>, action: string) {
  const query = Object.fromEntries(Object.entries(c.req.queries()).map(([name, values]) => [name, values.join(',')]))
  const parsed = schema.safeParse(query, { error: explain })
  if (!parsed.success) throw invalidRequest(action, parsed.error)
  const asked = parsed.data
  if (asked.after !== undefined && asked.since !== undefined) {
    throw new FaafoError('invalid-request', `cannot ${action}: give after or since, not both`)
  }
  return { ...asked, after: lastEventId(c) || asked.after }
}

/** Where a client goes on. Throws `log-replaced` where that is in another log. */
async function resumed({ log }: Api, text: string): Promise<LogPosition> {
  const { seq, idPrefix } = parseCursor(text)
  const position = { ...startOfLog, seq, id: idPrefix }
  try {
    await verifyPosition(log, position)
    return position
  } catch (error) {
    if (!isFaafoError(error, 'log-replaced')) throw error
    const wayOut = 'begin anew, without it for what comes from now on, or with after=0 for everything'
    throw new FaafoError('log-replaced', `${error.message}; ${wayOut}`, { cause: error })
  }
}

/** What the client had last; '' where it is new. */
export const lastEventId = (c: Context): string => c.req.header('last-event-id') ?? ''

/** Clocks differ: a time that is so far ahead of ours is taken for now. */
const AHEAD_MS = 60_000

/** Where to begin; `unasked`: where nothing says so, with what comes from now on. Throws `log-replaced`, `invalid-request`. */
export async function beginning(
  api: Api,
  { after, since }: From,
  unasked = async () => (await api.log.head()).lastSeq,
): Promise<LogPosition> {
  if (after !== undefined) return resumed(api, after)
  const time = since === undefined ? undefined : parseTime(since)?.getTime()
  if (time !== undefined && time > Date.now() + AHEAD_MS) {
    const reason = 'that is yet to come; expected a time that is past'
    throw new FaafoError('invalid-request', `cannot begin at ${since}: ${reason}`)
  }
  const seq = time === undefined ? await unasked() : await lastSeqBy(api.log, time - 1)
  const message = seq === 0 ? null : await api.log.messageAt(seq)
  return { ...startOfLog, seq, id: message && message.id !== '' ? idPrefixOf(message.id) : null }
}

export const cursorAt = ({ seq, id }: LogPosition): string => (id === null ? String(seq) : parkedIdOf({ seq, id }))

type Matches = (event: FeedEvent) => boolean

export function matching({ type, uuid, status }: Partial<Pick<EventsQuery, 'type' | 'uuid' | 'status'>>): Matches {
  const [types, uuids, states] = [type, uuid?.toLowerCase(), status].map((text) => text && new Set(text.split(',')))
  const leadsTo = (event: FeedEvent) => statusAfter[event.type as keyof typeof statusAfter]
  return (event) =>
    (!types || types.has(event.type)) && (!uuids || uuids.has(event.fractal)) && (!states || states.has(leadsTo(event)))
}

/** Made once of each event, however many follow it. */
const frames = new WeakMap<FeedEvent, Uint8Array>()

export function frameOfEvent(event: FeedEvent): Uint8Array {
  const known = frames.get(event)
  if (known) return known
  const said = outside(event)
  const type = /^\w+$/.test(said.type) ? said.type : 'Unknown'
  const frame = frameOf(type, said.cursor, said)
  frames.set(event, frame)
  return frame
}

export async function* chunksOf(
  batches: AsyncIterable<readonly FeedEvent[]>,
  matches: Matches,
): AsyncGenerator<Chunk, void, undefined> {
  for await (const batch of batches) {
    const last = batch.at(-1)
    if (last) yield { cursor: parkedIdOf(last), frames: batch.filter(matches).map(frameOfEvent) }
  }
}

/** What matches after a position, as far as it is there, or, where nothing does, what comes within the time to wait. */
async function pageOf(api: Api, c: Context, from: LogPosition, asked: EventsQuery): Promise<EventsPage> {
  const { lastSeq } = await api.log.head()
  const matches = matching(asked)
  const done = new AbortController()
  const stop = () => done.abort()
  for (const signal of [api.stopping, c.req.raw.signal]) signal.addEventListener('abort', stop, { once: true })
  const waitMs = asked.wait * 1_000
  let mayWait = waitMs > 0
  const events: FeedEvent[] = []
  let last: Pick<FeedEvent, 'seq' | 'id'> | undefined
  const isOver = () => {
    const seq = last?.seq ?? from.seq
    return events.length >= asked.limit || (seq >= lastSeq && (events.length > 0 || !mayWait))
  }
  const looking = setTimeout(stop, Math.max(LOOK_MS, waitMs))
  const waiting = setTimeout(() => {
    mayWait = false
    if (isOver()) stop()
  }, waitMs)
  try {
    if (!isOver()) {
      for await (const batch of api.feed.follow(from, done.signal)) {
        for (const event of batch) {
          if (events.length >= asked.limit) break
          if (matches(event)) events.push(event)
          last = event
        }
        if (isOver()) break
      }
    }
  } finally {
    clearTimeout(looking)
    clearTimeout(waiting)
    for (const signal of [api.stopping, c.req.raw.signal]) signal.removeEventListener('abort', stop)
  }
  return {
    events: events.map(outside),
    next: last ? parkedIdOf(last) : cursorAt(from),
    at_end: (last?.seq ?? from.seq) >= lastSeq,
  }
}
