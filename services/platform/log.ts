import { headers, type JetStreamManager, type NatsConnection, NatsError, type StoredMsg } from 'nats'
import { decode, encode } from '../../events/codec.ts'
import { FaafoError, isFaafoError, messageOf } from '../../events/errors.ts'
import type { FractalEvent, RecordedEvent } from '../../events/events.ts'
import { fold, type Task } from '../../events/task.ts'
import type { Broker } from './broker.ts'
import { storedAtOf } from './log-time.ts'
import { pause } from './shutdown.ts'

/**
 * The log as decisions see it: slots are read from the stream's leader and filled at most once.
 * Every method throws `log-unavailable` when the broker does not answer in time.
 */
export type Log = {
  /**
   * Puts the event into its slot, or finds who has it. The outcome is certain: an unclear answer is settled by
   * reading the slot back and publishing again until `withinMs` (default 1,500, at most 10,000) have passed or `signal`
   * fires. Throws `log-full`, or `log-unavailable`: it may or may not have been stored. To append the very same event
   * again, with its id, is always safe and settles that; a caller with more patience does so, and can tell of it.
   */
  append(event: FractalEvent, options?: { withinMs?: number; signal?: AbortSignal }): Promise<Appended>
  /** The event in a slot, null while it is empty. Subjects come from `broker.names`. */
  read(subject: string): Promise<RecordedEvent | null>
  /** Everything that happened to one fractal, in the order of the log. */
  history(uuid: string): Promise<RecordedEvent[]>
  /** The fractal's state now. */
  load(uuid: string): Promise<Task>
  /** The event at a sequence, null where there is none. */
  at(seq: number): Promise<RecordedEvent | null>
  /** Creation time of the stream (RFC 3339, nanoseconds), sequence of its last event, and copies that it has. */
  head(): Promise<{ created: string; lastSeq: number; replicas: number }>
}

export type Appended = { won: boolean; event: RecordedEvent }

type Ack = { seq?: number; duplicate?: boolean; error?: { err_code?: number; description: string } }

/** Whether an answer says for certain that nothing was stored and that more room is needed. */
const isFull = ({ error }: Ack): boolean =>
  error?.err_code === 10023 ||
  error?.err_code === 10047 ||
  (error?.err_code === 10077 && /maximum|no space/.test(error.description)) // else: could not store, such as at a shutdown

const NOT_FOUND = 10037
const NO_STREAM = 10059
const PAUSE_MS = 50
/** Longest that an append keeps its caller in the dark. */
const LONGEST_APPEND_MS = 10_000
const TRY_MS = 1_000

export function createLog(broker: Broker): Log {
  const { names } = broker
  const managers = new WeakMap<NatsConnection, Promise<JetStreamManager>>()
  const manager = (nc: NatsConnection) => {
    const known = managers.get(nc)
    if (known) return known
    const made = nc.jetstreamManager({ checkAPI: false, timeout: TRY_MS })
    managers.set(nc, made)
    return made
  }

  async function stored(query: { last_by_subj: string } | { seq: number }): Promise<RecordedEvent | null> {
    try {
      const jsm = await manager(broker.nc())
      return recorded(await jsm.streams.getMessage(names.stream, query))
    } catch (error) {
      if (error instanceof NatsError && error.api_error?.err_code === NOT_FOUND) return null
      throw unreadable(error)
    }
  }

  function unreadable(error: unknown): FaafoError {
    if (error instanceof FaafoError) return error
    const isMissing = error instanceof NatsError && error.api_error?.err_code === NO_STREAM
    const reason = isMissing ? `the broker has no stream ${names.stream}` : 'the broker did not answer'
    return new FaafoError('log-unavailable', `cannot read the log: ${reason}`, { cause: error })
  }

  const read = (subject: string) => stored({ last_by_subj: subject })

  async function append(event: FractalEvent, options: { withinMs?: number; signal?: AbortSignal } = {}) {
    const deadline = Date.now() + Math.min(options.withinMs ?? 1_500, LONGEST_APPEND_MS)
    const subject = names.slot(event)
    const { headers: attributes, body } = encode(event)
    const message = headers()
    for (const [name, value] of Object.entries(attributes)) message.set(name, value)
    message.set('Nats-Msg-Id', event.id)
    message.set('Nats-Expected-Stream', names.stream)
    message.set('Nats-Expected-Last-Subject-Sequence', '0')

    let unclear = false // whether an earlier try may have been stored
    for (;;) {
      let reason: unknown
      let full = false
      try {
        await endOfTurn()
        const timeout = Math.max(50, Math.min(TRY_MS, deadline - Date.now()))
        const answer = await broker.nc().request(subject, body, { timeout, headers: message })
        const ack = answer.json<Ack>()
        if (ack.seq !== undefined && ack.error === undefined && ack.duplicate !== true) {
          return { won: true, event: { ...event, seq: ack.seq, recordedAt: Date.parse(event.time) } }
        }
        full = isFull(ack)
        reason = ack.error?.description ?? 'duplicate'
      } catch (error) {
        reason = error
      }
      const noRoom = () => new FaafoError('log-full', `cannot append to the log: ${reason}`)
      if (full && !unclear) throw noRoom()
      unclear ||= !full
      try {
        const holder = await within(Math.max(50, deadline - Date.now()), read(subject))
        if (holder) return { won: holder.id === event.id, event: holder }
        if (full) throw noRoom()
      } catch (error) {
        if (!isFaafoError(error, 'log-unavailable')) throw error
      }
      if (Date.now() + PAUSE_MS >= deadline || options.signal?.aborted) {
        throw new FaafoError(
          'log-unavailable',
          `cannot be sure that ${event.type} of fractal '${event.fractal}' was recorded: the broker did not confirm it in time; repeat the request with the same uuid`,
          { cause: reason, details: { uuid: event.fractal, reason: messageOf(reason) } },
        )
      }
      await pause(PAUSE_MS, options.signal)
    }
  }

  /** Slots first, first + 1, … until the first empty one. */
  async function walk(slot: (n: number) => string, first = 1): Promise<RecordedEvent[]> {
    const found: RecordedEvent[] = []
    for (let n = first; ; n++) {
      const event = await read(slot(n))
      if (!event) return found
      found.push(event)
    }
  }

  /** Requests first: once generation g + 1 is seen, the outcome of g is there for the reads after it. */
  async function history(uuid: string): Promise<RecordedEvent[]> {
    const requests = await walk((g) => names.requested(uuid, g))
    const generation = async (g: number) => {
      const [attempts, outcome] = await Promise.all([
        walk((entry) => names.attempt(uuid, g, entry)),
        read(names.outcome(uuid, g)),
      ])
      return outcome ? [...attempts, outcome] : attempts
    }
    const [generations, removed] = await Promise.all([
      Promise.all(requests.map((_, i) => generation(i + 1))),
      read(names.removed(uuid)),
    ])
    const events = [...requests, ...generations.flat(), ...(removed ? [removed] : [])]
    return events.sort((a, b) => a.seq - b.seq)
  }

  return {
    append,
    read,
    history,
    load: async (uuid) => fold(await history(uuid)),
    at: (seq) => stored({ seq }),
    async head() {
      try {
        const info = await (await manager(broker.nc())).streams.info(names.stream)
        return { created: info.created, lastSeq: info.state.last_seq, replicas: info.config.num_replicas }
      } catch (error) {
        throw unreadable(error)
      }
    },
  }
}

/**
 * One promise for all who ask in the same turn of the event loop. They go on together, so that the client sends what
 * they publish with one write; else each message is a write, here, and a read at the broker.
 */
function endOfTurn(): Promise<void> {
  turn ??= new Promise((done) =>
    setImmediate(() => {
      turn = undefined
      done()
    }),
  )
  return turn
}
let turn: Promise<void> | undefined

/** Rejects with `log-unavailable` where `work` takes longer than `ms`. */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const done = new AbortController()
  const late = pause(ms, done.signal).then(() => {
    throw new FaafoError('log-unavailable', 'cannot read the log: the broker did not answer in time')
  })
  try {
    return await Promise.race([work, late])
  } finally {
    done.abort()
  }
}

const recorded = (message: StoredMsg): RecordedEvent =>
  decode(
    { header: (name) => message.header.get(name), body: message.string() },
    { seq: message.seq, storedAt: storedAtOf(message.timestamp) },
  )
