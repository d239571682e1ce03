import { headers, type JetStreamManager, type NatsConnection, NatsError, type StoredMsg } from 'nats'
import type { Message, Position, ReceivedMessage } from '../../events/codec.ts'
import { FaafoError, isFaafoError, messageOf } from '../../events/errors.ts'
import type { Broker } from './broker.ts'
import { storedAtOf, timesOf } from './log-time.ts'
import { receivedOf } from './received.ts'
import { pause } from './shutdown.ts'

/**
 * A stream whose subjects are slots, each filled at most once. Slots are read from the stream's leader.
 * Every method throws `log-unavailable` when the broker does not answer in time.
 */
export type Slots<E extends { id: string }> = {
  /**
   * Fills a slot, or finds who has it: `seq` of what was stored just now, or the slot's `holder`, which is this very
   * event where an earlier try had succeeded. `what` names it in an error, whose `details` are given, too; `isUnsure` is among
   * them where it may have been stored.
   */
  append(
    entry: { subject: string; id: string; message: Outgoing; what: string; details: Record<string, unknown> },
    options?: AppendOptions,
  ): Promise<{ seq: number } | { holder: E }>
  /** What is in a slot, null while it is empty. */
  read(subject: string): Promise<E | null>
  /** The slots under a filter that are not empty; none where there is no stream. */
  subjects(filter: string): Promise<string[]>
  /** What is at a sequence, null where there is nothing. */
  at(seq: number): Promise<E | null>
  /** The same as it was received, whether or not this program can read it. */
  messageAt(seq: number): Promise<StoredMessage | null>
  /** Creation time of the stream (RFC 3339, nanoseconds), sequence of its last message, and copies that it has. */
  head(): Promise<{ created: string; lastSeq: number; replicas: number }>
}

type Outgoing = Pick<Message, 'headers'> & { body: string | Uint8Array }

/** A message of the stream. `id` is '' where it has none. */
export type StoredMessage = ReceivedMessage & {
  seq: number
  id: string
  subject: string
  /** Unix milliseconds at which the broker stored it; for one that was imported, the first broker. */
  recordedAt: number
  /** The same for this broker, imports only. */
  storedAt?: number
}

/** How long an append is tried: `withinMs` (default 1,500, at most 10,000), or until `signal` fires. */
export type AppendOptions = { withinMs?: number; signal?: AbortSignal }

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

export function openSlots<E extends { id: string }>(
  broker: Broker,
  stream: string,
  decode: (message: ReceivedMessage, position: Position) => E,
): Slots<E> {
  const managers = new WeakMap<NatsConnection, Promise<JetStreamManager>>()
  const manager = (nc: NatsConnection) => {
    const known = managers.get(nc)
    if (known) return known
    const made = nc.jetstreamManager({ checkAPI: false, timeout: TRY_MS })
    managers.set(nc, made)
    return made
  }

  async function stored(query: { last_by_subj: string } | { seq: number }): Promise<StoredMsg | null> {
    try {
      const jsm = await manager(broker.nc())
      return await jsm.streams.getMessage(stream, query)
    } catch (error) {
      if (error instanceof NatsError && error.api_error?.err_code === NOT_FOUND) return null
      throw unreadable(error)
    }
  }

  const decoded = (message: StoredMsg | null) =>
    message && decode(receivedOf(message), { seq: message.seq, storedAt: storedAtOf(message.timestamp) })

  function unreadable(error: unknown): FaafoError {
    if (error instanceof FaafoError) return error
    const isMissing = error instanceof NatsError && error.api_error?.err_code === NO_STREAM
    const reason = isMissing ? `the broker has no stream ${stream}` : 'the broker did not answer'
    const details = isMissing ? { missing: stream } : {}
    return new FaafoError('log-unavailable', `cannot read the log: ${reason}`, { cause: error, details })
  }

  const read = async (subject: string) => decoded(await stored({ last_by_subj: subject }))

  return {
    read,
    async append({ subject, id, message, what, details }, options = {}) {
      const deadline = Date.now() + Math.min(options.withinMs ?? 1_500, LONGEST_APPEND_MS)
      const head = headers()
      for (const [name, value] of Object.entries(message.headers)) head.set(name, value)
      head.set('Nats-Msg-Id', id)
      head.set('Nats-Expected-Stream', stream)
      head.set('Nats-Expected-Last-Subject-Sequence', '0')

      let unclear = false // whether an earlier try may have been stored
      for (;;) {
        let reason: unknown
        let full = false
        try {
          await endOfTurn()
          const timeout = Math.max(50, Math.min(TRY_MS, deadline - Date.now()))
          const answer = await broker.nc().request(subject, message.body, { timeout, headers: head })
          const ack = answer.json<Ack>()
          if (ack.seq !== undefined && ack.error === undefined && ack.duplicate !== true) return { seq: ack.seq }
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
          if (holder) return { holder }
          if (full) throw noRoom()
        } catch (error) {
          if (!isFaafoError(error, 'log-unavailable')) throw error
        }
        if (Date.now() + PAUSE_MS >= deadline || options.signal?.aborted) {
          throw new FaafoError(
            'log-unavailable',
            `cannot be sure that ${what} was recorded: the broker did not confirm it in time`,
            { cause: reason, details: { ...details, isUnsure: true, reason: messageOf(reason) } },
          )
        }
        await pause(PAUSE_MS, options.signal)
      }
    },
    async subjects(filter) {
      try {
        const { state } = await (await manager(broker.nc())).streams.info(stream, { subjects_filter: filter })
        return Object.keys(state.subjects ?? {})
      } catch (error) {
        if (error instanceof NatsError && error.api_error?.err_code === NO_STREAM) return []
        throw unreadable(error)
      }
    },
    at: async (seq) => decoded(await stored({ seq })),
    async messageAt(seq) {
      const message = await stored({ seq })
      if (!message) return null
      const received = receivedOf(message)
      const times = timesOf(received.header('ce-recordedtime'), storedAtOf(message.timestamp))
      return { ...received, ...times, seq, id: received.header('ce-id'), subject: message.subject }
    },
    async head() {
      try {
        const info = await (await manager(broker.nc())).streams.info(stream)
        return { created: info.created, lastSeq: info.state.last_seq, replicas: info.config.num_replicas }
      } catch (error) {
        throw unreadable(error)
      }
    },
  }
}

/** What is in the slots of 1, 2, 3 …, until the first empty one. */
export async function walk<T>(read: (n: number) => Promise<T | null>): Promise<T[]> {
  const found: T[] = []
  for (let n = 1; ; n++) {
    const event = await read(n)
    if (event === null) return found
    found.push(event)
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
