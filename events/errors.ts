/**
 * Every way in which an operation of this application can fail, as the field that a program branches on.
 * The API maps each code to a problem (services/api/problems.ts), the worker to a fate (services/worker/fate.ts);
 * both tables are exhaustive, so a new code does not compile until both have an answer.
 */
export type ErrorCode =
  // the caller asked for something that cannot be had
  | 'invalid-request' // a field is missing, of the wrong type or out of its range
  | 'malformed-body' // the body is not JSON (or not NDJSON)
  | 'unsupported-media-type'
  | 'body-too-large'
  | 'url-too-long'
  | 'method-not-allowed'
  | 'forbidden-origin' // a web page elsewhere, or a Host header that is not ours
  | 'not-found'
  | 'not-ready' // the fractal exists, its image is not finished
  | 'already-exists' // the uuid is taken by another request
  | 'removed' // the uuid was deleted and stays deleted
  | 'idempotency-mismatch' // the key was used with another body or uuid
  | 'illegal-transition' // cancel or retry in a state that does not allow it
  | 'too-many-streams' // as many follow events as one api serves
  | 'query-result' // `single` was asked for and there was none, or more than one
  // a part that we depend on
  | 'log-unavailable' // the broker cannot be reached; an append may or may not have happened
  | 'log-full' // the broker's disk or quota is full
  | 'log-replaced' // the log is not the one that a cursor or checkpoint was taken from
  | 'log-unsupported' // the broker is too old for what we rely on
  | 'undecodable-event' // an event in the log that this version cannot read
  | 'database-unavailable'
  | 'projection-behind' // the read model did not reach the asked position in time
  | 'fence-lost' // another projector moved the checkpoint
  | 'storage-unavailable'
  | 'storage-full'
  | 'image-lost' // completed, but the bytes are not in storage
  | 'image-damaged' // the bytes in storage do not match their checksum
  | 'subscribers-unavailable' // no process that delivers webhooks answers
  | 'export-unusable' // an exported log that is damaged, was never finished, or is of another version
  // rendering
  | 'render-failed'
  | 'render-crashed' // the process that rendered ended without an answer
  | 'aborted'
  // starting up
  | 'invalid-config'
  | 'broker-not-found'
  | 'data-dir-held'
  | 'port-taken'
  | 'start-failed'
  // an api as its clients see it
  | 'unreachable'
  | 'internal'

/**
 * The one error class. `message` reads "cannot <action>: <reason>" and is fit for the caller to see;
 * `details` are further members of the problem (RFC 9457) or bound fields of the log line.
 */
export class FaafoError extends Error {
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: Record<string, unknown> } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'FaafoError'
    this.code = code
    this.details = options.details ?? {}
  }
}

/** Whether `error` is ours with this code (any of ours where no code is given). */
export const isFaafoError = (error: unknown, code?: ErrorCode): error is FaafoError =>
  error instanceof FaafoError && (code === undefined || error.code === code)

/** The text of anything thrown, for a log line or a `cause`; never for an answer to a client. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
