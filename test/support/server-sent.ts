import type { ReadableWritablePair } from 'node:stream/web'
import { type EventSourceMessage, EventSourceParserStream } from 'eventsource-parser/stream'

/** The events of an answer, in their order. */
export async function* eventsOf(response: Response): AsyncGenerator<EventSourceMessage, void, undefined> {
  if (!response.ok || !response.body) throw new Error(`${response.status} ${await response.text()}`)
  const text = response.body.pipeThrough(
    new TextDecoderStream() as ReadableWritablePair<string, Uint8Array<ArrayBuffer>>,
  )
  yield* text.pipeThrough(new EventSourceParserStream())
}

/** The first so many of them; the answer is then left. */
export async function firstEvents(response: Response, count: number): Promise<EventSourceMessage[]> {
  const found: EventSourceMessage[] = []
  if (count === 0) return found
  for await (const event of eventsOf(response)) {
    found.push(event)
    if (found.length === count) break
  }
  return found
}
