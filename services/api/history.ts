import type { Context } from 'hono'
import { FaafoError } from '../../events/errors.ts'
import { parkedIdOf } from '../../events/parked.ts'
import type { FeedEvent } from '../platform/feed.ts'
import { startOfLog } from '../platform/log-reader.ts'
import { outside } from '../platform/unreadable.ts'
import type { Api } from './api.ts'
import { historyQuerySchema } from './event-schemas.ts'
import { askedOf, beginning, chunksOf, cursorAt, frameOfEvent, matching } from './events.ts'
import type { FractalEvents } from './schemas.ts'
import { type Chunk, wantsStream } from './streams.ts'
import { uuidOf } from './uuid.ts'

/**
 * GET /v1/fractal/:uuid/events: also of a fractal that was deleted. From the log, so that it is never behind. As a
 * stream, what comes next as well, until the fractal is deleted.
 */
export async function getHistory(api: Api, c: Context): Promise<Response> {
  const uuid = uuidOf(c, 'show the events of')
  const asked = askedOf(c, historyQuerySchema, 'show the events of a fractal')
  const had = await beginning(api, asked, async () => startOfLog.seq)
  const { lastSeq } = await api.log.head() // before the history, which has all events up to there
  const all = await api.log.wholeHistory(uuid)
  if (all.length === 0) {
    throw new FaafoError('not-found', `cannot show the events of fractal '${uuid}': there are none of that uuid`)
  }
  c.header('Vary', 'Accept')
  const matches = matching(asked)
  const missedOf = (events: FeedEvent[]) => events.filter((event) => event.seq > had.seq && matches(event))
  if (!wantsStream(c)) return c.json({ events: missedOf(all).map(outside) } satisfies FractalEvents)
  // Of what came while it was read some may be in it and what was before that not.
  const events = all.filter(({ seq }) => seq <= lastSeq)
  const missed = missedOf(events)
  const isOver = events.some(isEnd)
  if (missed.length === 0 && isOver) return c.body(null, 204) // has the browser stop asking
  const from = { ...startOfLog, seq: Math.max(lastSeq, had.seq) }
  return api.streams.open(c, cursorAt(had), async function* (signal): AsyncGenerator<Chunk> {
    const last = events.at(-1)
    if (last && missed.length > 0) yield { cursor: parkedIdOf(last), frames: missed.map(frameOfEvent) }
    if (isOver) return
    const coming = untilDeleted(api.feed.follow(from, signal), uuid)
    yield* chunksOf(coming, (event) => event.fractal === uuid && matches(event))
  })
}

const isEnd = ({ type }: FeedEvent): boolean => type === 'TaskDeleted'

async function* untilDeleted(batches: AsyncIterable<readonly FeedEvent[]>, uuid: string) {
  for await (const batch of batches) {
    yield batch
    if (batch.some((event) => event.fractal === uuid && isEnd(event))) return
  }
}
