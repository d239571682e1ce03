import { AckPolicy, createInbox, DeliverPolicy, nanos } from 'nats'
import type { Broker } from './broker.ts'
import type { WorkerPresence } from './presence.ts'
import { aborted, pause } from './shutdown.ts'
import { administering } from './stream.ts'

/*
 * Who is there, and what their clocks say, over core NATS: whoever calls publishes on presence.call, every service
 * answers at once. A clock that is told between the call and its answer is known to within the time that passed in
 * between, however slow the network is.
 */

/** What a service says of itself; a running import has its id as its name. */
export type Answer = Partial<Pick<WorkerPresence, 'state' | 'reason' | 'threads'>> & {
  service: 'api' | 'projector' | 'worker' | 'operator' | 'subscribers' | 'import'
  /** Unique to the process. */
  id: string
  name: string
  host: string
  version: string
  /** Unix milliseconds, its clock. */
  time: number
}

/** By how much a clock is ahead of the caller's, in ms: at least, and at most. */
export type ClockOffset = { least: number; most: number }

export type Heard = Omit<Answer, 'time'> & { clock: ClockOffset }

/** Answers until `stop` fires. */
export function answerRollCall(broker: Broker, self: () => Omit<Answer, 'time'>, stop: AbortSignal): void {
  const closed = () => {} // before it was open; the broker itself says why
  broker.ready.then((nc) => {
    const subscription = nc.subscribe(broker.names.rollCall, {
      callback: (error, call) => {
        if (!error) call.respond(JSON.stringify({ ...self(), time: Date.now() }))
      },
    })
    aborted(stop).then(() => subscription.unsubscribe())
  }, closed)
}

/** Who answers within `forMs`. Throws `log-unavailable`. */
export async function callTheRoll(broker: Broker, forMs: number, signal: AbortSignal): Promise<Heard[]> {
  const nc = broker.nc()
  const heard = new Map<string, Heard>()
  const inbox = createInbox()
  const calledAt = Date.now()
  const subscription = nc.subscribe(inbox, {
    callback: (_, message) => {
      const answer = parsed(message)
      if (!answer) return
      const { time, ...who } = answer
      heard.set(who.id, { ...who, clock: offsetOf(time, calledAt, Date.now()) })
    },
  })
  nc.publish(broker.names.rollCall, '', { reply: inbox })
  await pause(forMs, signal)
  subscription.unsubscribe()
  return [...heard.values()].filter(({ state }) => state !== 'stopping')
}

/**
 * The broker's clock. What makes it tell its time, in every version, is a reader of the log, which is dropped at once.
 * Throws `log-unavailable`.
 */
export const askBrokerClock = (broker: Broker): Promise<ClockOffset> =>
  administering(broker, "ask for the broker's time", async (jsm) => {
    const { stream } = broker.names
    const askedAt = Date.now()
    const { name, created } = await jsm.consumers.add(stream, {
      ...{ deliver_policy: DeliverPolicy.New, ack_policy: AckPolicy.None, mem_storage: true, num_replicas: 1 },
      inactive_threshold: nanos(5_000),
    })
    const clock = offsetOf(Date.parse(created), askedAt, Date.now())
    await jsm.consumers.delete(stream, name).catch(() => {}) // else it goes after its inactivity
    return clock
  })

const offsetOf = (time: number, askedAt: number, answeredAt: number): ClockOffset => ({
  least: time - answeredAt,
  most: time - askedAt,
})

/** null where it is someone else's message on our subject. */
function parsed(message: { json<J>(): J }): Answer | null {
  try {
    const value = message.json<Answer>()
    return typeof value?.id === 'string' && typeof value.time === 'number' ? value : null
  } catch {
    return null
  }
}
