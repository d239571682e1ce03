import * as assert from 'uvu/assert'
import { dealtWith } from '../../services/platform/webhook-store.ts'
import type { Received } from '../support/hook-receiver.ts'
import { until } from '../support/until.ts'
import type { Hooks } from './with-subscribers.ts'

/* What came to the receiver, and how far webhooks have come. */

/** Waits until so many came to a path, the same again among them. */
export const cameTo = (hooks: Hooks, path: string, count: number) =>
  until(() => hooks.receiver.at(path).length >= count, {
    what: () => `${count} deliveries came to ${path}, now ${hooks.receiver.at(path).length}`,
  })
export const ids = (received: readonly Received[]) => received.map(({ event }) => event.id)
/** Ids in the order of their first coming. */
export const distinct = (received: readonly Received[]) => [...new Set(ids(received))]
/** Whether a webhook is active, and why not. */
export const stateOf = async ({ webhooks }: Hooks, id: string) => {
  const webhook = await webhooks.load(id)
  return [webhook?.state, webhook?.reason]
}
const cursorOf = async ({ webhooks }: Hooks, id: string) => {
  const { value } = await webhooks.store.position(id)
  return value && dealtWith(value)
}
/** Waits until a webhook is through with all that the log has. */
export const isAtEnd = (hooks: Hooks, id: string) =>
  until(async () => (await cursorOf(hooks, id))?.split('-')[0] === String((await hooks.log.head()).lastSeq), {
    what: async () => `the position of ${id} is at the end, now ${await cursorOf(hooks, id)}`,
  })

/** That the events came in the order of each fractal. */
export function assertInOrder(received: readonly Received[], events: readonly { id: string; fractal: string }[]) {
  const fractalOf = new Map(events.map(({ id, fractal }) => [id, fractal]))
  const came = distinct(received)
  for (const fractal of new Set(fractalOf.values())) {
    const expected = events.filter((event) => event.fractal === fractal).map(({ id }) => id)
    assert.equal(
      came.filter((id) => fractalOf.get(id) === fractal),
      expected.filter((id) => came.includes(id)),
    )
  }
}
