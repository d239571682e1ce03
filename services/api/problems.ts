import { type ErrorCode, FaafoError } from '../../events/errors.ts'

/** How one error code is answered. `detail` stands in for messages that tell of our insides. */
type Rule = { status: number; title: string; retryAfterS?: number; detail?: string }

const ours = 'something failed on our side; the log of this api says what'
const unreadable =
  'an event of this fractal cannot be read: a newer version wrote it, or it is damaged; `faafo replay verify` names it'
const hidden = (title: string): Rule => ({ status: 500, title, detail: ours })

const rules: Record<ErrorCode, Rule> = {
  'invalid-request': { status: 400, title: 'The request is not valid' },
  'malformed-body': { status: 400, title: 'The body cannot be read' },
  'unsupported-media-type': { status: 415, title: 'The content type is not supported' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'url-too-long': { status: 414, title: 'The URL is too long' },
  'method-not-allowed': { status: 405, title: 'The method is not allowed here' },
  'forbidden-origin': { status: 403, title: 'The request comes from elsewhere' },
  'not-found': { status: 404, title: 'There is no such thing' },
  'not-ready': { status: 404, title: 'The image is not finished' },
  'already-exists': { status: 409, title: 'The uuid is taken' },
  removed: { status: 410, title: 'The fractal was deleted' },
  'idempotency-mismatch': { status: 422, title: 'The idempotency key was used for another request' },
  'illegal-transition': { status: 409, title: 'The state does not allow that' },
  'query-result': { status: 400, title: 'The query has not exactly one result' },
  'too-many-streams': { status: 503, title: 'Too many follow the events', retryAfterS: 5 },
  'log-unavailable': { status: 503, title: 'The log cannot be reached', retryAfterS: 1 },
  'log-full': { status: 507, title: 'The log is full' },
  'log-replaced': { status: 410, title: 'The log is another one' },
  'log-unsupported': { status: 503, title: 'The broker cannot be used', retryAfterS: 30 },
  'undecodable-event': { status: 500, title: 'An event cannot be read', detail: unreadable },
  'database-unavailable': { status: 503, title: 'The database cannot be reached', retryAfterS: 1 },
  'projection-behind': { status: 503, title: 'The read model is behind', retryAfterS: 1 },
  'fence-lost': hidden('The projection moved'),
  'storage-unavailable': {
    status: 503,
    title: 'The image storage cannot be reached',
    retryAfterS: 2,
    detail: 'cannot read the image: the storage does not answer',
  },
  'storage-full': {
    status: 507,
    title: 'The image storage is full',
    detail: 'cannot store an image: no space is left',
  },
  'image-lost': { status: 500, title: 'The image is lost' },
  'image-damaged': { status: 500, title: 'The image is damaged' },
  'subscribers-unavailable': { status: 503, title: 'Nobody delivers webhooks just now', retryAfterS: 5 },
  'export-unusable': hidden('The export cannot be used'),
  'render-failed': hidden('The render failed'),
  'render-crashed': hidden('The render crashed'),
  aborted: { status: 503, title: 'The api is stopping', retryAfterS: 1 },
  'invalid-config': hidden('The configuration is not valid'),
  'broker-not-found': hidden('The broker was not found'),
  'data-dir-held': hidden('The data folder is held'),
  'port-taken': hidden('The port is taken'),
  'start-failed': hidden('The start failed'),
  unreachable: hidden('Something cannot be reached'),
  internal: hidden('Something failed on our side'),
}

/** Details of an error that a client may see, by the name that they have in the problem. */
const MEMBERS = { errors: 'errors', uuid: 'uuid', items: 'items', status: 'state' } as const

/** RFC 9457. `message` repeats `detail` for clients of the original, `code` is what programs branch on. */
export type Problem = {
  type: string
  title: string
  status: number
  detail: string
  code: ErrorCode
  message: string
  [member: string]: unknown
}

/** Unknown errors become `internal`, and nothing of their text is told. */
export function problemOf(error: unknown): Problem {
  const known = error instanceof FaafoError ? error : new FaafoError('internal', ours)
  const { code, details } = known
  const rule = rules[code]
  const detail = rule.detail ?? known.message
  const members = Object.entries(MEMBERS).flatMap(([name, member]) =>
    details[name] === undefined ? [] : [[member, details[name]] as const],
  )
  return {
    ...Object.fromEntries(members),
    type: problemType(code),
    title: rule.title,
    status: rule.status,
    detail,
    code,
    message: typeof details.message === 'string' ? details.message : detail,
  }
}

/** `Allow` comes from the error's details, `Retry-After` from these or from its code. */
export function problemResponse(error: unknown): Response {
  const problem = problemOf(error)
  const headers = new Headers({ 'content-type': 'application/problem+json', 'cache-control': 'no-store' })
  const { allow, retryAfterS = rules[problem.code].retryAfterS } = error instanceof FaafoError ? error.details : {}
  if (retryAfterS !== undefined) headers.set('retry-after', String(retryAfterS))
  if (Array.isArray(allow)) headers.set('allow', allow.join(', '))
  return new Response(JSON.stringify(problem), { status: problem.status, headers })
}

export const problemType = (code: ErrorCode): string => `/problems/${code}`

/** What `/problems/<code>` says; null for a code that there is not. */
export const describeProblem = (code: string): { code: string; status: number; title: string } | null => {
  if (!Object.hasOwn(rules, code)) return null
  const { status, title } = rules[code as ErrorCode]
  return { code, status, title }
}
