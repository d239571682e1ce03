import type { Context } from 'hono'
import { FaafoError } from '../../events/errors.ts'
import { isLoopback } from '../platform/config.ts'
import { mediaTypeOf } from './body.ts'

/*
 * What keeps other sites' pages from using this api behind a visitor's back. A page elsewhere can send requests to
 * loopback addresses, bodyless or with a form's content type; it cannot leave out `Origin`, and a name of its own
 * that it lets point to 127.0.0.1 shows in `Host`.
 */

const isSafe = (method: string) => method === 'GET' || method === 'HEAD' || method === 'OPTIONS'

/** Throws `forbidden-origin` or `unsupported-media-type`. `listenHost` is the address that the api listens on. */
export function guard(c: Context, listenHost: string): void {
  if (isLoopback(listenHost)) requireOwnHost(c, listenHost)
  if (isSafe(c.req.method)) return
  requireOwnOrigin(c)
  requireJson(c)
}

function requireOwnHost(c: Context, listenHost: string) {
  const host = c.req.header('host') ?? new URL(c.req.url).host
  const name = host
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase()
  if (isLoopback(name) || name === listenHost) return
  throw new FaafoError(
    'forbidden-origin',
    `cannot answer for the host '${host.slice(0, 100)}': this api serves this machine only, as localhost or ${listenHost}`,
  )
}

function requireOwnOrigin(c: Context) {
  const site = c.req.header('sec-fetch-site')
  const origin = c.req.header('origin')
  if (site !== undefined ? site === 'same-origin' || site === 'none' : origin === undefined) return
  const host = c.req.header('host') ?? new URL(c.req.url).host
  if (site === undefined && origin !== undefined && URL.canParse(origin) && new URL(origin).host === host) return
  throw new FaafoError(
    'forbidden-origin',
    `cannot let a page of another site (${(origin ?? site ?? '').slice(0, 100)}) change anything here`,
  )
}

function requireJson(c: Context) {
  const hasBody = Number(c.req.header('content-length') ?? 0) > 0 || c.req.header('transfer-encoding') !== undefined
  const type = mediaTypeOf(c)
  const refuse = (what: string, instead: string) => {
    throw new FaafoError('unsupported-media-type', `cannot read a body ${what}: send it ${instead}`)
  }
  const takesLines = /^\/v1\/batch\/?$/.test(c.req.path)
  const isTaken = type === 'application/json' || (takesLines && type === 'application/x-ndjson')
  if (!isTaken && (type !== null || hasBody)) {
    const lines = takesLines ? ', or application/x-ndjson with a request on each line' : ''
    refuse(`of type ${type?.slice(0, 100) ?? '(none given)'}`, `with content-type: application/json${lines}`)
  }
  const coding = c.req.header('content-encoding')?.trim().toLowerCase() || 'identity'
  if (coding !== 'identity') refuse(`with content-encoding: ${coding.slice(0, 100)}`, 'as it is')
  const [, charset = 'utf-8'] = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(c.req.header('content-type') ?? '') ?? []
  if (!/^utf-?8$/i.test(charset)) refuse(`in the charset ${charset.slice(0, 100)}`, 'in UTF-8')
}
