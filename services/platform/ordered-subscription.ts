import { readAll, verifyPosition } from './log-reader.ts'
import type { Handler, SubscribeOptions } from './subscribe.ts'
import { insist, matching, positionOf, type SubscriptionParts } from './subscription.ts'
import { outside } from './unreadable.ts'

const BATCH_SIZE = 100

/** Every event, in the order of the log, to this process. */
export async function followInOrder(
  parts: SubscriptionParts,
  options: SubscribeOptions,
  signal: AbortSignal,
  handle: Handler,
): Promise<void> {
  const from = await positionOf(parts.log, options.after)
  await verifyPosition(parts.log, from)
  const isAsked = matching(options)
  for await (const batch of readAll(parts, { from, signal, batchSize: BATCH_SIZE })) {
    for (const event of batch) {
      if (signal.aborted) return
      const said = outside(event)
      if (isAsked(said)) await insist(parts, options, signal, said, handle)
    }
  }
}
