import type { CloudEvent, UnreadableCloudEvent } from '../../events/cloud-event.ts'
import { parseCursor } from '../../events/cursor.ts'
import { messageOf } from '../../events/errors.ts'
import type { Broker } from './broker.ts'
import type { Log } from './log.ts'
import { type LogPosition, startOfLog } from './log-reader.ts'
import type { Logger } from './logger.ts'
import { pause } from './shutdown.ts'
import type { Handler, SubscribeOptions } from './subscribe.ts'

/* What holds for a subscription with a durable name and without: where it begins, what it asks for, when an event is dealt with. */

export type SubscriptionParts = { broker: Broker; log: Log; logger: Logger }

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 30_000

/** After a cursor; where there is none, at the end of the log as it is now. */
export async function positionOf(log: Log, after: string | undefined): Promise<LogPosition> {
  if (after === undefined) return { ...startOfLog, seq: (await log.head()).lastSeq }
  const { seq, idPrefix } = parseCursor(after)
  return { ...startOfLog, seq, id: idPrefix }
}

/** Whether an event is asked for; what cannot be read always is. */
export const matching =
  ({ types = [] }: SubscribeOptions) =>
  (event: CloudEvent | UnreadableCloudEvent): boolean =>
    types.length === 0 || 'unreadable' in event || types.includes(event.type)

/** Until it is dealt with, or `signal` fires; false: it is not. Throws `GivenUp`. */
export async function insist(
  { logger }: SubscriptionParts,
  { mostTries = Number.POSITIVE_INFINITY }: SubscribeOptions,
  signal: AbortSignal,
  event: CloudEvent | UnreadableCloudEvent,
  handle: Handler,
): Promise<boolean> {
  const { cursor } = event
  for (let tries = 1; ; tries++) {
    try {
      await handle(event, { cursor, tries, signal })
      return true
    } catch (error) {
      if (tries >= mostTries) throw new GivenUp(error)
      if (signal.aborted) return false
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (tries - 1), LONGEST_PAUSE_MS)
      logger.warn({ cursor, tries, reason: messageOf(error), again: `in ${pauseMs / 1000} s` }, 'event not dealt with')
      await pause(pauseMs, signal)
      if (signal.aborted) return false
    }
  }
}

/** What a handler threw at the last try: none of the errors that are waited out. */
export class GivenUp extends Error {
  readonly reason: unknown
  constructor(reason: unknown) {
    super('given up')
    this.reason = reason
  }
}
