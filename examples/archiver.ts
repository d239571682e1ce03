/*
 * Keeps every event in a file, a CloudEvent as JSON on each line. The last line is the place: started again, it goes on
 * after it. Without a durable name, because the file itself says what it has.
 *
 *   NATS_URL=nats://127.0.0.1:4222 npx tsx examples/archiver.ts events.ndjson
 */
import { appendFile, readFile, truncate } from 'node:fs/promises'
import process from 'node:process'
import { subscribe } from 'faafo/events'

const file = process.argv[2] ?? 'events.ndjson'
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())

await subscribe(
  { servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222', after: await lastCursor(), signal: stop.signal },
  (event) => appendFile(file, `${JSON.stringify(event)}\n`),
)

/** '0' where there is none yet. A line that a crash left half-written is taken away. */
async function lastCursor(): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '')
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  if (whole.length < text.length) await truncate(file, Buffer.byteLength(whole))
  const last = whole.trimEnd().split('\n').at(-1)
  return last ? JSON.parse(last).cursor : '0'
}
