import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { pause } from '../platform/shutdown.ts'
import type { Client, FractalObject, Sighting } from './client.ts'

const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 500
const PATIENCE_MS = 30_000
/** So many uuids fit into one URL. */
const UUIDS_A_QUERY = 100

/** Whether nothing more will happen to it by itself. */
export const isFinished = ({ status }: FractalObject): boolean =>
  status === 'completed' || status === 'failed' || status === 'cancelled'

type Watching = { signal?: AbortSignal | undefined; patienceMs?: number }
type Watcher = Pick<Client, 'get' | 'list' | 'follow'>

/** See `Client.watch`. Those that events say are finished are looked at at once, all of them now and then. */
export async function* watchFractals(
  client: Watcher,
  uuids: Iterable<string>,
  { signal, patienceMs = PATIENCE_MS }: Watching = {},
): AsyncGenerator<Sighting, void, undefined> {
  const open = new Set([...uuids].map((uuid) => uuid.toLowerCase()))
  const isOpen = (uuid: string) => open.has(uuid)
  const done = new AbortController()
  const ends = listenForEnds(client, isOpen, signal ? AbortSignal.any([signal, done.signal]) : done.signal)
  let due = [...open]
  let pauseMs = FIRST_PAUSE_MS
  let awaySince: number | null = null
  try {
    for (let isTold = false; open.size > 0; ) {
      try {
        const sighting = await look(client, due, signal)
        awaySince = null
        for (const fractal of sighting.objects) if (isFinished(fractal)) open.delete(fractal.uuid)
        for (const uuid of sighting.removed) open.delete(uuid)
        yield sighting
      } catch (error) {
        awaySince ??= Date.now()
        if (!isPassing(error) || Date.now() - awaySince >= patienceMs) throw error
      }
      if (open.size === 0) return
      // The table may be a moment behind what an event has told.
      const behind = isTold ? due.filter(isOpen) : []
      const told = await ends.within(behind.length > 0 ? FIRST_PAUSE_MS : pauseMs, signal)
      if (signal?.aborted) throw new FaafoError('aborted', 'cannot go on waiting: interrupted')
      due = [...new Set([...behind, ...told])].filter(isOpen)
      isTold = due.length > 0
      if (isTold) continue
      due = [...open]
      pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS)
    }
  } finally {
    done.abort()
  }
}

type Ends = {
  /** The fractals of which an end was told since the last call: at once where there are some, else within `ms`. */
  within(ms: number, signal: AbortSignal | undefined): Promise<string[]>
}

/** An api that has no events to follow is asked all the same, only not so soon. */
function listenForEnds(client: Watcher, isOpen: (uuid: string) => boolean, signal: AbortSignal): Ends {
  let told: string[] = []
  let wake = () => {}
  const listening = async () => {
    for await (const { subject } of client.follow({
      statuses: ['completed', 'failed', 'cancelled', 'deleted'],
      signal,
    })) {
      if (subject === undefined || !isOpen(subject)) continue
      told.push(subject)
      wake()
    }
  }
  listening().catch(() => {})
  return {
    async within(ms, interrupted) {
      const passed = new AbortController()
      if (told.length === 0) {
        await Promise.race([
          new Promise<void>((done) => {
            wake = done
          }),
          pause(ms, interrupted ? AbortSignal.any([interrupted, passed.signal]) : passed.signal),
        ])
        passed.abort()
      }
      const all = told
      told = []
      return all
    },
  }
}

const isPassing = (error: unknown) =>
  isFaafoError(error, 'unreachable') || (isFaafoError(error) && error.details.status === 503)

async function look(client: Pick<Client, 'get' | 'list'>, uuids: string[], signal: AbortSignal | undefined) {
  const seen = new Map<string, FractalObject>()
  for (let i = 0; uuids.length > 1 && i < uuids.length; i += UUIDS_A_QUERY) {
    const some = uuids.slice(i, i + UUIDS_A_QUERY)
    const filters = [{ name: 'uuid', op: 'in', val: some }]
    const { objects } = await client.list({ q: { filters }, resultsPerPage: UUIDS_A_QUERY, signal })
    for (const fractal of objects) seen.set(fractal.uuid, fractal)
  }
  const removed: string[] = []
  for (const uuid of uuids) {
    if (seen.has(uuid)) continue
    // the list may lag behind, a single fractal is looked up in the log
    const fractal = await unlessGone(client.get(uuid, { signal }))
    if (fractal) seen.set(uuid, fractal)
    else removed.push(uuid)
  }
  return { objects: [...seen.values()], removed }
}

async function unlessGone(getting: Promise<FractalObject>): Promise<FractalObject | null> {
  try {
    return await getting
  } catch (error) {
    if (isFaafoError(error, 'removed') || isFaafoError(error, 'not-found')) return null
    throw error
  }
}
