import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { CloudEvent } from '../../events/cloud-event.ts'

/** A delivery as it came. `answered`: its answer went out whole. */
export type Received = {
  path: string
  headers: Record<string, string>
  body: string
  event: CloudEvent
  /** Unix milliseconds. */
  at: number
  answered: number | null
}

/** `hang`: no answer, until the receiver is closed. `cut`: half of one. */
export type Reply = {
  status: number
  headers?: Record<string, string>
  body?: string
  waitMs?: number
  does?: 'hang' | 'cut'
}

/** A server on a loopback port that webhooks are sent to. */
export type Receiver = {
  port: number
  url(path: string): string
  received: Received[]
  /** Those of a path, in the order in which they came. */
  at(path: string): Received[]
  /** What it answers from now on; 204 at the beginning. */
  reply: (received: Received) => Reply
  /** Refuses connections until `up`. */
  down(): Promise<void>
  up(): Promise<void>
}

export async function withReceiver<T>(use: (receiver: Receiver) => Promise<T>): Promise<T> {
  const received: Received[] = []
  let server: Server | undefined
  let port = 0

  async function up(): Promise<void> {
    const made = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('error', () => {})
      request.on('end', () => {
        const body = Buffer.concat(chunks).toString()
        const [headers, path, at] = [asText(request.headers), request.url ?? '', Date.now()]
        const one: Received = { path, headers, body, event: JSON.parse(body), at, answered: null }
        received.push(one)
        const { status, headers: more, body: answer = '', waitMs = 0, does } = receiver.reply(one)
        if (does === 'hang') return
        setTimeout(() => {
          if (does === 'cut') {
            response.writeHead(status, { ...more, 'content-length': '1000' })
            response.write('half of')
            setTimeout(() => response.destroy(), 5)
            return
          }
          one.answered = status
          response.writeHead(status, more)
          response.end(answer)
        }, waitMs)
      })
    })
    made.on('error', () => {})
    await new Promise<void>((done) => made.listen(port, '127.0.0.1', done))
    port = (made.address() as AddressInfo).port
    server = made
  }

  async function down(): Promise<void> {
    const closed = new Promise((done) => server?.close(done))
    server?.closeAllConnections()
    await closed
  }

  await up()
  const receiver: Receiver = {
    ...{ port, received, up, down },
    url: (path) => `http://127.0.0.1:${port}${path}`,
    at: (path) => received.filter((one) => one.path === path),
    reply: () => ({ status: 204 }),
  }
  try {
    return await use(receiver)
  } finally {
    await down()
  }
}

const asText = (headers: IncomingHttpHeaders): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
