import type { ReadableWritablePair } from 'node:stream/web'
import { EventSourceParserStream } from 'eventsource-parser/stream'
import type { CloudEvent, UnreadableCloudEvent } from '../../events/cloud-event.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { EventType } from '../../events/events.ts'
import type { Status } from '../../events/task.ts'
import type { EventsPage } from '../api/event-schemas.ts'
import { pause } from '../platform/shutdown.ts'
import type { Transport } from './transport.ts'

const PATIENCE_MS = 30_000
const AGAIN_MS = 250
/** The api says something every 15 seconds. */
const SILENCE_MS = 45_000

export type FollowedEvent = CloudEvent | UnreadableCloudEvent

export type Selection = {
  /** Only what comes after this cursor; '0' for everything. */
  after?: string | undefined
  /** What came into the log from this time on, RFC 3339. */
  since?: string | undefined
  types?: readonly EventType[]
  /** Only events that lead to one of these states. */
  statuses?: readonly (Status | 'deleted')[]
}

/** Without `after` and `since` from now on. */
export type Following = Selection & {
  signal?: AbortSignal | undefined
  uuids?: readonly string[]
  /** How long an api that is away is waited for, 30,000 where nothing is given. */
  patienceMs?: number
}

export const listed = (items: readonly string[] = []) => (items.length === 0 ? undefined : items.join(','))

/**
 * Events in the order of the log, for ever: each once, without a gap, over any number of connections that break. `cursor`
 * of the last one is where a later call goes on. Throws `log-replaced` where the log is not the one of the cursor.
 */
export async function* followEvents(
  { send, json }: Transport,
  { signal, after, since, types = [], uuids = [], statuses = [], patienceMs = PATIENCE_MS }: Following = {},
): AsyncGenerator<FollowedEvent, void, undefined> {
  const action = 'follow events'
  const path = ['v1', 'events']
  const query = { type: listed(types), uuid: listed(uuids), status: listed(statuses) }
  let last = after
  let awaySince: number | null = null

  async function* connection(): AsyncGenerator<FollowedEvent, void, undefined> {
    if (last === undefined && since === undefined) {
      // What "now" is must be known before anything can break.
      const page = await json<EventsPage>({ action, path, query: { limit: 1 }, signal })
      last = page.next
    }
    const silent = new AbortController()
    const ended = signal ? AbortSignal.any([signal, silent.signal]) : silent.signal
    const response = await send({
      action,
      path,
      query: { ...query, ...(last === undefined ? { since } : { after: last }) },
      headers: { accept: 'text/event-stream' },
      signal: ended,
    })
    awaySince = null
    if (!response.body) return
    let timer = setTimeout(() => silent.abort(), SILENCE_MS)
    const heard = new TransformStream<string, string>({
      transform(text, controller) {
        clearTimeout(timer)
        timer = setTimeout(() => silent.abort(), SILENCE_MS)
        controller.enqueue(text)
      },
    })
    try {
      const messages = response.body
        .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array<ArrayBuffer>>)
        .pipeThrough(heard)
        .pipeThrough(new EventSourceParserStream())
      for await (const { id, data } of messages) {
        yield JSON.parse(data) as FollowedEvent
        if (id !== undefined) last = id
      }
    } finally {
      clearTimeout(timer)
      silent.abort()
    }
  }

  for (;;) {
    try {
      yield* connection()
    } catch (error) {
      if (signal?.aborted) throw interrupted(error)
      awaySince ??= Date.now()
      if (!isPassing(error) || Date.now() - awaySince >= patienceMs) throw error
    }
    await pause(AGAIN_MS, signal)
    if (signal?.aborted) throw interrupted()
  }
}

/** A stream that breaks off is no FaafoError, but one of the runtime's. */
const isPassing = (error: unknown): boolean =>
  !isFaafoError(error) || error.code === 'unreachable' || error.code === 'aborted' || error.details.status === 503

const interrupted = (cause?: unknown) =>
  new FaafoError('aborted', 'cannot go on following events: interrupted', cause === undefined ? {} : { cause })
