import { Buffer } from 'node:buffer'
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { VERSION } from '../platform/identity.ts'
import type { Guard } from './guard.ts'
import { parseRetryAfter } from './schedule.ts'

/** All of one try: to look the name up, connect, send, and read the answer. */
const SEND_MS = 15_000
/** Of an answer that much is read, and that much kept. */
const MOST_READ = 64 * 1024
const MOST_KEPT = 1024
const IDLE_MS = 20_000

/** What the other side said, whatever that is. `location` is where it would have us go, which we do not. */
export type Answer = { status: number; text: string; retryAfterMs: number | null; location: string | null }

export type Sender = {
  /** Posts it. Throws Refusal, and what happened where there was no whole answer in time or `signal` fired. */
  send(url: string, body: string, headers: Record<string, string>, signal: AbortSignal): Promise<Answer>
  close(): void
}

export function createSender(guard: Guard, sendMs = SEND_MS): Sender {
  const options = { keepAlive: true, timeout: IDLE_MS }
  const agents = { http: new HttpAgent(options), https: new HttpsAgent(options) }

  function post(url: URL, body: Buffer, headers: Record<string, string>, signal: AbortSignal, fresh: boolean) {
    const isHttps = url.protocol === 'https:'
    const request = isHttps ? requestHttps : requestHttp
    return new Promise<Answer | 'again'>((done, fail) => {
      const agent = fresh ? false : isHttps ? agents.https : agents.http
      const sent = request(url, { method: 'POST', headers, agent, signal, lookup: guard.lookup(url) })
      let answered = false
      sent.on('response', (response) => {
        answered = true
        answerOf(response).then(done, fail)
      })
      // An answer without a body, after which the connection is another protocol's: there is no `response` then.
      sent.on('upgrade', ({ statusCode = 101 }, socket) => {
        socket.destroy()
        done({ status: statusCode, text: '', retryAfterMs: null, location: null })
      })
      sent.on('error', (error: NodeJS.ErrnoException) => {
        // The other side may close a connection that was kept for the next one, just when that comes.
        const stale = sent.reusedSocket && !answered && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
        if (stale && !signal.aborted) done('again')
        else fail(error)
      })
      sent.on('close', () => {
        if (!answered) fail(new Error('the connection was closed without an answer')) // where nothing else was said
      })
      sent.end(body)
    })
  }

  return {
    async send(address, text, more, signal) {
      const url = new URL(address)
      guard.check(url)
      const body = Buffer.from(text)
      const headers = {
        'content-type': 'application/cloudevents+json',
        'content-length': String(body.length),
        'user-agent': `faafo/${VERSION}`,
        ...more,
      }
      const ending = new AbortController()
      const end = () => ending.abort()
      if (signal.aborted) end()
      signal.addEventListener('abort', end, { once: true })
      let isLate = false
      const timer = setTimeout(() => {
        isLate = true
        end()
      }, sendMs)
      try {
        const answer = await post(url, body, headers, ending.signal, false)
        if (answer !== 'again') return answer
        const second = await post(url, body, headers, ending.signal, true)
        if (second === 'again') throw new Error('the connection was closed')
        return second
      } catch (error) {
        if (isLate) throw new Error(`no answer within ${sendMs / 1_000} s`)
        throw error
      } finally {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
      }
    },
    close() {
      agents.http.destroy()
      agents.https.destroy()
    },
  }
}

/** Throws where the answer is cut. */
function answerOf(response: IncomingMessage): Promise<Answer> {
  const { headers, statusCode = 0 } = response
  return new Promise((done, fail) => {
    const kept: Buffer[] = []
    let read = 0
    let room = MOST_KEPT
    const finish = () =>
      done({
        status: statusCode,
        text: Buffer.concat(kept).toString('utf8'),
        retryAfterMs: parseRetryAfter(headers['retry-after'], Date.now()),
        location: headers.location ?? null,
      })
    response.on('data', (chunk: Buffer) => {
      read += chunk.length
      if (room > 0) kept.push(chunk.subarray(0, room))
      room -= chunk.length
      if (read <= MOST_READ) return
      finish()
      response.destroy()
    })
    response.on('end', finish)
    response.on('error', fail)
    response.on('close', () => fail(new Error('the answer was cut')))
  })
}
