import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { Broker } from '../platform/broker.ts'
import { type LogMessages, openMessages } from '../platform/log-messages.ts'
import { type LogPosition, startOfLog, verifyPosition } from '../platform/log-reader.ts'
import { throughOutages } from './outages.ts'

/**
 * The log that an import goes into. A broker that was away may come back with another log, or with one that lost its
 * end; what is appended there would stand without what comes before it, for good. So after a reconnect `broker` gives
 * no connection until what was stored last is found in its place, and throws `log-replaced` where it is not.
 */
export type ImportLog = {
  broker: Broker
  log: LogMessages
  /** So, too, where there is no stream yet: only a dry run comes to that. */
  isEmpty: boolean
  /** Tells of an event that is stored. */
  stored(event: { seq: number; id: string }): void
  /** Throws `log-replaced` where one that is stored is gone. */
  verify(): Promise<void>
  close(): void
}

export async function openImportLog(actual: Broker, signal: AbortSignal): Promise<ImportLog> {
  const messages = openMessages(actual)
  const head = await throughOutages(signal, () => headOf(messages))
  let last: LogPosition = { ...startOfLog, seq: head?.lastSeq ?? 0, streamCreated: head?.created ?? null }
  /** Why there is no connection to be had. */
  let doubt: unknown

  async function verify(): Promise<void> {
    let cause: unknown
    try {
      const found = await throughOutages(signal, async () => (await headOf(messages)) && verifyPosition(messages, last))
      if (found || !head) return
    } catch (error) {
      if (!isFaafoError(error, 'log-replaced')) throw error
      cause = error
    }
    const reason = 'since it began the log was replaced, or lost its end; import again'
    throw new FaafoError('log-replaced', `cannot go on importing: ${reason}`, { cause })
  }

  async function lookAgain(): Promise<void> {
    const mine = new FaafoError('log-unavailable', 'cannot reach the log: it is not known yet to be the same')
    doubt = mine
    const outcome = await verify().catch((error) => error)
    if (doubt === mine) doubt = outcome
  }
  const unsubscribe = actual.onReconnect(() => void lookAgain())

  const broker: Broker = {
    ...actual,
    nc() {
      if (doubt) throw doubt
      return actual.nc()
    },
  }
  return {
    ...{ broker, log: openMessages(broker), isEmpty: !head?.lastSeq, verify },
    stored({ seq, id }) {
      if (seq > last.seq) last = { ...last, seq, id }
    },
    close: unsubscribe,
  }
}

/** null where there is no stream. */
async function headOf(log: LogMessages): Promise<{ created: string; lastSeq: number } | null> {
  try {
    return await log.head()
  } catch (error) {
    if (isFaafoError(error, 'log-unavailable') && error.details.missing !== undefined) return null
    throw error
  }
}
