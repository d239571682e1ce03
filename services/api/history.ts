import type { Context } from 'hono'
import { FaafoError } from '../../events/errors.ts'
import { parkedIdOf } from '../../events/parked.ts'
import type { FeedEvent } from '../platform/feed.ts'
import { startOfLog } from '../platform/log-reader.ts'
import { outside } from '../platform/unreadable.ts'
import type { Api } from './api.ts'
import { chunksOf, frameOfEvent, lastEventId, resumed } from './events.ts'
import type { FractalEvents } from './schemas.ts'
import { type Chunk, wantsStream } from './streams.ts'
import { uuidOf } from './uuid.ts'

/**
 * GET /v1/fractal/:uuid/events: also of a fractal that was deleted. From the log, so that it is never behind. As a
 * stream, what comes next as well, until the fractal is deleted.
 */
export async function getHistory(api: Api, c: Context): Promise<Response> {
  const uuid = uuidOf(c, 'show the events of')
  const isStream = wantsStream(c)
  const after = isStream ? lastEventId(c) || (c.req.query('after') ?? '') : ''
  const had = after === '' ? startOfLog : await resumed(api, after)
  const { lastSeq } = await api.log.head() // before the history: what comes in between is in both, and told once
  const events = await api.log.wholeHistory(uuid)
  const last = events.at(-1)
  if (!last) {
    throw new FaafoError('not-found', `cannot show the events of fractal '${uuid}': there are none of that uuid`)
  }
  c.header('Vary', 'Accept')
  if (!isStream) return c.json({ events: events.map(outside) } satisfies FractalEvents)
  const missed = events.filter(({ seq }) => seq > had.seq)
  if (missed.length === 0 && isEnd(last)) return c.body(null, 204) // has the browser stop asking
  const from = { ...startOfLog, seq: Math.max(lastSeq, last.seq) }
  return api.streams.open(c, after === '' ? '0' : after, async function* (signal): AsyncGenerator<Chunk> {
    if (missed.length > 0) yield { cursor: parkedIdOf(last), frames: missed.map(frameOfEvent) }
    if (isEnd(last)) return
    yield* chunksOf(untilDeleted(api.feed.follow(from, signal), uuid), ({ fractal }) => fractal === uuid)
  })
}

const isEnd = ({ type }: FeedEvent): boolean => type === 'TaskDeleted'

async function* untilDeleted(batches: AsyncIterable<readonly FeedEvent[]>, uuid: string) {
  for await (const batch of batches) {
    yield batch
    if (batch.some((event) => event.fractal === uuid && isEnd(event))) return
  }
}
