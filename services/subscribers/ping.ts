import { v4 } from 'uuid'
import type { Ping } from '../../events/cloud-event.ts'
import { FaafoError } from '../../events/errors.ts'
import type { Attempt } from '../platform/webhook-attempts.ts'
import type { Webhooks } from '../platform/webhooks.ts'
import { deliver } from './deliver.ts'
import type { Sender } from './send.ts'

/**
 * Sends a webhook, whatever its state, an event that says nothing, and resolves to what came of it.
 * Throws `not-found`, `log-unavailable`.
 */
export async function ping(
  {
    webhooks,
    sender,
    note,
    source,
  }: { webhooks: Webhooks; sender: Sender; note(attempt: Attempt): void; source: string },
  id: string,
  signal: AbortSignal,
): Promise<Attempt> {
  const webhook = await webhooks.load(id)
  if (!webhook || webhook.isDeleted) {
    throw new FaafoError('not-found', `cannot ping webhook '${id}': there is none of that id`)
  }
  const secrets = await webhooks.store.secrets(id, Date.now())
  const event: Ping = {
    specversion: '1.0',
    id: v4(),
    source,
    type: 'Ping',
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    data: { webhook: id },
  }
  const parcel = { id: event.id, body: JSON.stringify(event), cursor: null, type: event.type, fractal: null }
  const came = await deliver(sender, webhook, secrets, parcel, 1, signal)
  if (!came) throw new FaafoError('aborted', `cannot ping webhook '${id}': the service is stopping`)
  note(came.attempt)
  return came.attempt
}
