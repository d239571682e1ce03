import type { MsgHdrs } from 'nats'
import type { ReceivedMessage } from '../../events/codec.ts'

/** A message of the client library as the codec reads it: to look a header up there costs as much as to go through all. */
export function receivedOf(headers: MsgHdrs | undefined, body: string): ReceivedMessage {
  const known = new Map<string, string>()
  for (const [name, [value = '']] of headers ?? []) known.set(name, value)
  return { header: (name) => known.get(name) ?? '', body }
}
