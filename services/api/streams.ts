import { Buffer } from 'node:buffer'
import { setMaxListeners } from 'node:events'
import type { Context } from 'hono'
import { accepts } from 'hono/accepts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { Metrics } from './metrics.ts'

/* Server-sent events. Source: HTML Living Standard, "Server-sent events". */

export type Chunk = {
  /** Where a client that is cut off goes on, whether or not there was anything for it. */
  cursor: string
  frames: readonly Uint8Array[]
}

export type Streams = {
  /**
   * An answer of what `chunks` yields, and of its place now and then, until that ends, the client leaves or the api stops.
   * Nothing is asked of `chunks` before the client has taken what there was; one that takes nothing for a minute is dropped.
   * Throws `too-many-streams`.
   */
  open(c: Context, cursor: string, chunks: (signal: AbortSignal) => AsyncGenerator<Chunk, void, undefined>): Response
}

const MOST_STREAMS = 1_000
/** Proxies give up connections on which nothing is said for a minute. */
const HEARTBEAT_MS = 15_000
const SLOW_MS = 60_000
/** After which a client that was cut off comes back. */
const RETRY_MS = 1_000

export const wantsStream = (c: Context): boolean =>
  accepts(c, {
    header: 'Accept',
    supports: ['application/json', 'text/event-stream'],
    default: 'application/json',
  }) === 'text/event-stream'

/** An event as a client gets it: `data` is JSON, and so has no line breaks. */
export const frameOf = (type: string, cursor: string, data: unknown): Uint8Array =>
  Buffer.from(`event: ${type}\nid: ${cursor}\ndata: ${JSON.stringify(data)}\n\n`)

/** Sets the client's last event id and gives it no event. */
const heartbeat = (cursor: string) => Buffer.from(`:\nid: ${cursor}\n\n`)

type Limits = { most?: number; heartbeatMs?: number; slowMs?: number }

export function createStreams(
  stopping: AbortSignal,
  { streams }: Pick<Metrics, 'streams'>,
  { most = MOST_STREAMS, heartbeatMs = HEARTBEAT_MS, slowMs = SLOW_MS }: Limits = {},
): Streams {
  setMaxListeners(0, stopping) // every stream listens
  let count = 0
  return {
    open(c, begin, chunks) {
      const headers = {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
        vary: 'Accept',
      }
      if (c.req.method === 'HEAD') return c.body(null, 200, headers)
      if (count >= most) {
        const reason = `this api serves ${most} already; try again, or ask for pages of JSON`
        throw new FaafoError('too-many-streams', `cannot follow events: ${reason}`)
      }
      const limits = { heartbeatMs, slowMs }
      const body = bodyOf(begin, chunks, { stopping, limits, onEnd: () => streams.set(--count) })
      streams.set(++count)
      return c.body(body, 200, headers)
    },
  }
}

function bodyOf(
  begin: string,
  chunks: (signal: AbortSignal) => AsyncGenerator<Chunk, void, undefined>,
  { stopping, limits, onEnd }: { stopping: AbortSignal; limits: Required<Omit<Limits, 'most'>>; onEnd: () => void },
): ReadableStream<Uint8Array> {
  const done = new AbortController()
  const source = chunks(done.signal)
  let coming: ReturnType<typeof source.next> | undefined
  let cursor = begin
  /** Since when the client has not taken what there is for it; null while there is nothing. */
  let waitingSince: number | null = null
  let watch: ReturnType<typeof setInterval> | undefined
  const stop = () => done.abort()

  function end(): void {
    if (watch === undefined) return
    clearInterval(watch)
    watch = undefined
    stopping.removeEventListener('abort', stop)
    done.abort()
    void source.return().catch(() => {})
    onEnd()
  }

  /** What is for the client next; null where nothing more will come. */
  async function next(): Promise<Uint8Array | null> {
    for (const until = Date.now() + limits.heartbeatMs; ; ) {
      coming ??= source.next()
      coming.catch(() => {}) // thrown once it is awaited
      const result = await within(until - Date.now(), coming)
      if (result === 'late') return heartbeat(cursor)
      coming = undefined
      if (result.done) return null
      cursor = result.value.cursor
      const { frames } = result.value
      if (frames.length > 0) return Buffer.concat(frames)
      if (Date.now() >= until) return heartbeat(cursor)
    }
  }

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        stopping.addEventListener('abort', stop, { once: true })
        if (stopping.aborted) stop()
        watch = setInterval(() => {
          if (waitingSince === null || Date.now() - waitingSince < limits.slowMs) return
          controller.error(new Error('the client takes nothing'))
          end()
        }, limits.slowMs / 10)
        watch.unref()
        controller.enqueue(Buffer.from(`retry: ${RETRY_MS}\nid: ${begin}\n\n`))
        waitingSince = Date.now()
      },
      async pull(controller) {
        waitingSince = null
        const bytes = await next().catch((error) => {
          // Who comes back is told by a problem.
          if (isFaafoError(error)) return null
          end()
          throw error
        })
        if (watch === undefined) return // it has ended meanwhile
        if (bytes) {
          controller.enqueue(bytes)
          waitingSince = Date.now()
        } else {
          end()
          controller.close()
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  )
}

async function within<T>(ms: number, work: Promise<T>): Promise<T | 'late'> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<'late'>((done) => {
    timer = setTimeout(() => done('late'), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
