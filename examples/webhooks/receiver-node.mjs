/*
 * Receives webhooks on Node: verifies the signature, keeps each event once, on a line of a file, and answers. What is to be
 * done about an event is done by whoever reads the file: an answer that takes longer than 15 seconds counts as a failure.
 *
 *   npm install standardwebhooks
 *   WEBHOOK_SECRET=whsec_… node receiver-node.mjs received.ndjson
 */
import { appendFile, readFile, truncate } from 'node:fs/promises'
import { createServer } from 'node:http'
import process from 'node:process'
import { Webhook } from 'standardwebhooks'

const MOST_BYTES = 1024 * 1024
const { WEBHOOK_SECRET: secret = '', HOST: host = '127.0.0.1', PORT: port = '9000' } = process.env
const file = process.argv[2] ?? 'received.ndjson'

const webhook = new Webhook(secret)
const seen = await idsIn(file)
/** One at a time, so that an event that comes twice at once is kept once. */
let keeping = Promise.resolve()

const server = createServer(async (request, response) => {
  const answer = (status) => response.writeHead(status).end()
  if (request.method !== 'POST') return answer(405)
  try {
    const body = await bodyOf(request)
    if (body === null) return answer(413)
    let event
    try {
      event = webhook.verify(body, request.headers) // also refuses what is older than five minutes
    } catch {
      return answer(401)
    }
    await keepOnce(request.headers['webhook-id'], event)
    answer(204)
  } catch {
    answer(500) // it comes again
  }
})
server.listen(Number(port), host, () => process.stdout.write(`listening on http://${host}:${server.address().port}\n`))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(0))

/** The body as it was sent, which is what was signed; null for one that is too large. */
async function bodyOf(request) {
  const chunks = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += chunk.length
    if (bytes > MOST_BYTES) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function keepOnce(id, event) {
  const kept = keeping.then(async () => {
    if (seen.has(id)) return
    await appendFile(file, `${JSON.stringify({ id, event })}\n`)
    seen.add(id)
  })
  keeping = kept.catch(() => {})
  return kept
}

/** What the file has. A line that a crash left half-written is taken away. */
async function idsIn(file) {
  const text = await readFile(file, 'utf8').catch(() => '')
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  if (whole.length < text.length) await truncate(file, Buffer.byteLength(whole))
  const lines = whole.split('\n').filter(Boolean)
  return new Set(lines.map((line) => JSON.parse(line).id))
}
