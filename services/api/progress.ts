import type { Context } from 'hono'
import { FaafoError } from '../../events/errors.ts'
import { parkedIdOf } from '../../events/parked.ts'
import { evolve, isFinished, isFractal, type Task } from '../../events/task.ts'
import type { FeedEvent } from '../platform/feed.ts'
import { startOfLog } from '../platform/log-reader.ts'
import { isUnreadable } from '../platform/unreadable.ts'
import type { Api } from './api.ts'
import type { FractalProgress } from './event-schemas.ts'
import { lastEventId } from './events.ts'
import { type Chunk, frameOf, wantsStream } from './streams.ts'
import { uuidOf } from './uuid.ts'

/**
 * GET /v1/fractal/:uuid/progress: its state, which stands in the log, and how far its render has come, which workers say
 * over core NATS. As a stream until it is finished, of each change the newest.
 */
export async function getProgress(api: Api, c: Context): Promise<Response> {
  const uuid = uuidOf(c, 'show the progress of')
  const { lastSeq } = await api.log.head() // before the state: what comes in between changes nothing when it comes again
  const task = await api.log.load(uuid)
  if (task.status === 'deleted') {
    throw new FaafoError('removed', `cannot show the progress of fractal '${uuid}': it was deleted`)
  }
  if (!isFractal(task)) {
    throw new FaafoError('not-found', `cannot show the progress of fractal '${uuid}': there is none of that uuid`)
  }
  c.header('Vary', 'Accept')
  if (!wantsStream(c)) return c.json(progressOf(api, uuid, task))
  // Who has seen the end already and asks again is a browser that was left to itself.
  if (isFinished(task.status) && lastEventId(c) === parkedIdOf(task.last)) return c.body(null, 204)
  return api.streams.open(c, parkedIdOf(task.last), (signal) => changes(api, uuid, task, lastSeq, signal))
}

function progressOf({ live }: Api, uuid: string, task: Task): FractalProgress {
  if (isFractal(task)) {
    const { generation, status } = task
    return { uuid, generation, status, progress: live.progressOf(task) }
  }
  return { uuid, generation: null, status: 'deleted', progress: null }
}

const isOver = (task: Task): boolean => !isFractal(task) || isFinished(task.status)

async function* changes(
  api: Api,
  uuid: string,
  first: Task,
  lastSeq: number,
  signal: AbortSignal,
): AsyncGenerator<Chunk, void, undefined> {
  let task = first
  let cursor = isFractal(first) ? parkedIdOf(first.last) : '0'
  let over = false
  let failed: { error: unknown } | undefined
  let wake = () => {}

  const take = (event: FeedEvent) => {
    if (event.fractal !== uuid || isUnreadable(event)) return
    task = evolve(task, event)
    cursor = parkedIdOf(event)
  }
  const done = new AbortController()
  const stop = () => done.abort()
  signal.addEventListener('abort', stop, { once: true })
  const following = (async () => {
    for await (const batch of api.feed.follow({ ...startOfLog, seq: lastSeq }, done.signal)) {
      for (const event of batch) if (!isOver(task)) take(event)
      if (batch.some((event) => event.fractal === uuid)) wake()
      if (isOver(task)) return
    }
  })()
    .catch((error) => {
      failed = { error }
    })
    .finally(() => {
      over = true
      wake()
    })
  const unlisten = api.live.onProgress(uuid, () => wake())

  let said = ''
  try {
    for (;;) {
      const changed = new Promise<void>((resolve) => {
        wake = resolve
      })
      const now = progressOf(api, uuid, task)
      const text = JSON.stringify(now)
      if (text !== said) {
        said = text
        yield { cursor, frames: [frameOf('progress', cursor, now)] }
      }
      if (isOver(task)) return
      if (failed) throw failed.error
      if (over) return
      await changed
    }
  } finally {
    unlisten()
    signal.removeEventListener('abort', stop)
    done.abort()
    await following
  }
}
