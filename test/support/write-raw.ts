import { connect, headers } from 'nats'
import { encode } from '../../events/codec.ts'
import type { FractalEvent, NewEvent } from '../../events/events.ts'
import { namesIn } from '../../events/subjects.ts'
import { identify } from '../../services/platform/identity.ts'

/** Into the log past all rules, as no program of ours would: the event's message with other attributes. */
export async function writeRaw(
  natsUrl: string,
  event: NewEvent,
  attributes: Record<string, string> = {},
): Promise<{ seq: number; id: string }> {
  const nc = await connect({ servers: natsUrl })
  try {
    const identified = identify(event, '/test') as FractalEvent
    const message = encode(identified)
    const head = headers()
    for (const [name, value] of Object.entries({ ...message.headers, ...attributes })) head.set(name, value)
    const { seq } = await nc.jetstream().publish(namesIn('').slot(event), message.body, { headers: head })
    return { seq, id: identified.id }
  } finally {
    await nc.close()
  }
}
