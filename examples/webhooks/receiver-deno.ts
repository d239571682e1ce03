/*
 * Receives webhooks on Deno: verifies the signature, keeps each event once, on a line of a file, and answers. What is to be
 * done about an event is done by whoever reads the file: an answer that takes longer than 15 seconds counts as a failure.
 *
 *   WEBHOOK_SECRET=whsec_… deno run --allow-net --allow-env --allow-read --allow-write receiver-deno.ts received.ndjson
 */
import { Webhook } from 'npm:standardwebhooks@^1.1.1'

const MOST_BYTES = 1024 * 1024
const hostname = Deno.env.get('HOST') ?? '127.0.0.1'
const port = Number(Deno.env.get('PORT') ?? 9000)
const file = Deno.args[0] ?? 'received.ndjson'

const webhook = new Webhook(Deno.env.get('WEBHOOK_SECRET') ?? '')
const seen = await idsIn(file)
/** One at a time, so that an event that comes twice at once is kept once. */
let keeping = Promise.resolve()

const onListen = (address: { port: number }) => console.log(`listening on http://${hostname}:${address.port}`)
Deno.serve({ hostname, port, onListen }, async (request) => {
  const answer = (status: number) => new Response(null, { status })
  if (request.method !== 'POST') return answer(405)
  if (!(Number(request.headers.get('content-length') ?? Number.NaN) <= MOST_BYTES)) return answer(413)
  const body = await request.text() // as it was sent, which is what was signed
  let event: unknown
  try {
    event = webhook.verify(body, Object.fromEntries(request.headers)) // also refuses what is older than five minutes
  } catch {
    return answer(401)
  }
  await keepOnce(request.headers.get('webhook-id') ?? '', event) // where it throws the answer is 500, and it comes again
  return answer(204)
})

function keepOnce(id: string, event: unknown): Promise<void> {
  const kept = keeping.then(async () => {
    if (seen.has(id)) return
    await Deno.writeTextFile(file, `${JSON.stringify({ id, event })}\n`, { append: true })
    seen.add(id)
  })
  keeping = kept.catch(() => {})
  return kept
}

/** What the file has. A line that a crash left half-written is taken away. */
async function idsIn(file: string): Promise<Set<string>> {
  const text = await Deno.readTextFile(file).catch(() => '')
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  if (whole.length < text.length) await Deno.truncate(file, new TextEncoder().encode(whole).length)
  const lines = whole.split('\n').filter(Boolean)
  return new Set(lines.map((line) => JSON.parse(line).id))
}
