import type { Broker } from './broker.ts'

/*
 * What workers say of themselves over core NATS: nothing of it is kept, and nothing depends on its arrival.
 *
 *   presence.worker.<id>   every PRESENCE_MS, and when it stops: WorkerPresence
 *   progress.<uuid>        several times a second while a render of more than a moment runs: RenderProgress
 */

export type WorkerPresence = {
  /** Unique to the process. */
  id: string
  name: string
  host: string
  version: string
  threads: number
  /** The fractals in hand. */
  tasks: string[]
  /** `blocked` gives the reason for which it takes no work just now. */
  state: 'working' | 'blocked' | 'stopping'
  reason?: string
}

export type RenderProgress = { generation: number; done: number; total: number }

export const PRESENCE_MS = 2_000
/** A worker unheard of for this long is taken as gone. */
export const PRESENCE_GONE_MS = 7_000

/** Says it, where the broker can be reached; else not. */
export function announce(broker: Broker, subject: string, message: WorkerPresence | RenderProgress): void {
  if (broker.isConnected()) broker.nc().publish(subject, JSON.stringify(message))
}

/** Listens until the connection is closed; a message that does not parse is passed over. */
export async function listen<T>(broker: Broker, subject: string, onMessage: (message: T, subject: string) => void) {
  const nc = await broker.ready
  for await (const message of nc.subscribe(subject)) {
    try {
      onMessage(message.json<T>(), message.subject)
    } catch {
      // someone else's message on our subject
    }
  }
}
