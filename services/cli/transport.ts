import { type ErrorCode, FaafoError, messageOf } from '../../events/errors.ts'
import { pause } from '../platform/shutdown.ts'

/*
 * One exchange with the api: an answer of the 2xx kind, or a FaafoError. The error's code is the problem's (RFC 9457),
 * its `details` are the problem's further members with `status`, the HTTP status. Where nothing answers, or what
 * answers is not the api, the code is `unreachable` and the message names the endpoint.
 */

export type ClientOptions = {
  /** Where the api is, such as `http://127.0.0.1:8080`, with `/v1` or without. A path in front of `/v1` is kept. */
  endpoint: string
  /** Sent as bearer token. */
  apiKey?: string
  fetch?: typeof globalThis.fetch
  userAgent?: string
}

export type Exchange = {
  /** What the caller is doing, for messages: `request a fractal`. */
  action: string
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** Segments below the endpoint; each is escaped. */
  path: string[]
  query?: Record<string, string | number | undefined>
  body?: unknown
  headers?: Record<string, string> | undefined
  signal?: AbortSignal | undefined
  /** Whether a second one changes nothing that the first did not. Default true. */
  repeatable?: boolean
  /** Further status codes that are an answer and no error. */
  answers?: number[]
}

export type Transport = {
  /** The body of the answer is still to be read. */
  send(exchange: Exchange): Promise<Response>
  /** The body of the answer, which must be JSON. */
  json<T>(exchange: Exchange): Promise<T>
}

const REPEATS = 2
/** Longest wait that an api may ask for (`Retry-After`) before the exchange is repeated; else it is given up. */
const LONGEST_PAUSE_MS = 5_000
const FIRST_PAUSE_MS = 100
/** Until the headers of an answer; bodies may take longer. */
const ANSWER_MS = 30_000

export function createTransport(options: ClientOptions): Transport {
  const { apiKey, fetch = globalThis.fetch, userAgent = 'faafo-client' } = options
  const endpoint = parseEndpoint(options.endpoint)

  async function once(exchange: Exchange): Promise<Response> {
    const { method = 'GET', body, headers, signal } = exchange
    const slow = new AbortController()
    const timer = setTimeout(() => slow.abort(), ANSWER_MS)
    try {
      return await fetch(urlOf(endpoint, exchange), {
        method,
        headers: {
          accept: 'application/json, image/png, */*;q=0.1',
          'user-agent': userAgent,
          ...(apiKey && { authorization: `Bearer ${apiKey}` }),
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        body: body === undefined ? null : JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, slow.signal]) : slow.signal,
      })
    } catch (error) {
      if (signal?.aborted) throw interrupted(exchange.action, error)
      const reason = slow.signal.aborted ? `no answer within ${ANSWER_MS / 1000} s` : reasonOf(error)
      throw unreachable(exchange.action, endpoint, reason, error)
    } finally {
      clearTimeout(timer)
    }
  }

  async function send(exchange: Exchange): Promise<Response> {
    const { signal, repeatable = true, answers = [] } = exchange
    for (let repeats = 0; ; repeats++) {
      const mayRepeat = repeatable && repeats < REPEATS
      const pauseMs = FIRST_PAUSE_MS * 2 ** repeats
      let response: Response
      try {
        response = await once(exchange)
      } catch (error) {
        if (!mayRepeat || !isConnectionLost(error)) throw error
        await pause(pauseMs, signal)
        continue
      }
      if (response.ok || answers.includes(response.status)) return response
      const askedMs = retryAfterMs(response)
      const error = await problemOf(exchange.action, endpoint, response)
      if (!mayRepeat || response.status !== 503 || askedMs === null || askedMs > LONGEST_PAUSE_MS) throw error
      await pause(Math.max(pauseMs, askedMs), signal)
    }
  }

  async function json<T>(exchange: Exchange): Promise<T> {
    const { action, signal } = exchange
    const response = await send(exchange)
    try {
      return JSON.parse(await response.text()) as T
    } catch (error) {
      if (signal?.aborted) throw interrupted(action, error)
      const reason =
        error instanceof SyntaxError
          ? 'what answers there is not the Fractals api'
          : `the answer broke off, ${reasonOf(error)}`
      throw unreachable(action, endpoint, reason, error)
    }
  }

  return { send, json }
}

/** Throws `invalid-request` for anything but an http(s) URL. */
function parseEndpoint(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new FaafoError(
      'invalid-request',
      `cannot use the endpoint '${text}': expected a URL such as http://127.0.0.1:8080`,
    )
  }
  url.pathname = url.pathname.replace(/\/+$/, '').replace(/\/v1$/, '')
  return url
}

function urlOf(endpoint: URL, { path, query = {} }: Exchange): URL {
  const url = new URL(endpoint)
  url.pathname = `${endpoint.pathname.replace(/\/+$/, '')}/${path.map(encodeURIComponent).join('/')}`
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value))
  return url
}

async function problemOf(action: string, endpoint: URL, response: Response): Promise<FaafoError> {
  const { status } = response
  const text = await response.text().catch(() => '')
  const problem = parseObject(text)
  if (!problem && (status === 414 || status === 431)) {
    const reason = `the request is too long for what answers there (HTTP ${status}); shorten q`
    return new FaafoError('url-too-long', `cannot ${action}: ${reason}`, { details: { status } })
  }
  if (!problem) {
    const reason = `what answers there is not the Fractals api (HTTP ${status})`
    return unreachable(action, endpoint, reason, undefined, { status })
  }
  const { type, title, detail, code, message: _, ...rest } = problem
  const said = typeof detail === 'string' ? detail : typeof title === 'string' ? title : `HTTP ${status}`
  const retryMs = retryAfterMs(response)
  return new FaafoError(codeOf(code, type, status), said.startsWith('cannot ') ? said : `cannot ${action}: ${said}`, {
    details: { ...rest, status, ...(retryMs !== null && { retryAfterMs: retryMs }) },
  })
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null
  } catch {
    return null
  }
}

/** A newer api may know more codes than this client; they are passed on as they are. */
function codeOf(code: unknown, type: unknown, status: number): ErrorCode {
  const named = typeof code === 'string' ? code : typeof type === 'string' ? type.split(/[/:#]/).at(-1) : undefined
  if (named && named !== 'blank') return named as ErrorCode
  if (status === 404) return 'not-found'
  return status < 500 ? 'invalid-request' : 'internal'
}

const interrupted = (action: string, cause: unknown) =>
  new FaafoError('aborted', `cannot ${action}: interrupted`, { cause })

const unreachable = (action: string, endpoint: URL, reason: string, cause?: unknown, details = {}) =>
  new FaafoError('unreachable', `cannot ${action}: cannot reach the api at ${shown(endpoint)}: ${reason}`, {
    cause,
    details: { ...details, endpoint: shown(endpoint) },
  })

const shown = (endpoint: URL) => endpoint.origin + endpoint.pathname.replace(/\/+$/, '')

/** Milliseconds; null where there is no such header, or one that is no number of seconds. */
function retryAfterMs(response: Response): number | null {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : null
}

const causesOf = (error: unknown): unknown[] => {
  const causes: unknown[] = []
  for (let e = error; e !== undefined && e !== null && causes.length < 8; ) {
    causes.push(e)
    e = e instanceof AggregateError ? e.errors[0] : e instanceof Error ? e.cause : undefined
  }
  return causes
}

const networkCodeOf = (error: unknown): string | undefined =>
  causesOf(error)
    .map((e) => (e instanceof Error && 'code' in e && typeof e.code === 'string' ? e.code : undefined))
    .findLast((code) => code !== undefined)

/** Whether the connection was there and broke, so that the request may or may not have arrived (Node and Deno). */
const isConnectionLost = (error: unknown): boolean =>
  /^(ECONNRESET|EPIPE|UND_ERR_SOCKET)$/.test(networkCodeOf(error) ?? '') ||
  causesOf(error).some((e) => /connection (reset|closed)/i.test(messageOf(e)))

const REASONS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was reset',
  UND_ERR_SOCKET: 'the connection was closed',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'its name cannot be looked up',
  ETIMEDOUT: 'connecting took too long',
  UND_ERR_CONNECT_TIMEOUT: 'connecting took too long',
  EHOSTUNREACH: 'there is no way to that host',
  'bad port': 'HTTP clients cannot use this port',
}

function reasonOf(error: unknown): string {
  const code = networkCodeOf(error)
  const text = messageOf(causesOf(error).at(-1))
  const inDeno = /connection (?:refused|reset|closed)/i.exec(text)?.[0].toLowerCase()
  return REASONS[code ?? text] ?? code ?? inDeno ?? text
}
