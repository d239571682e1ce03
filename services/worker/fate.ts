import { type ErrorCode, FaafoError, isFaafoError } from '../../events/errors.ts'

/**
 * What an error means for the task that met it.
 * - `retry`: a failed attempt is recorded; again after a while, and after several the task fails
 * - `fail`: the task fails now, since another attempt would end the same way
 * - `drop`: nobody wants the result any more
 * - `release`: the log lost the task; its message goes back, for another may have its place
 * - `block`: not the task's doing, and the next one would meet it too: take no more work and wait until it is over
 */
export type Fate = 'retry' | 'fail' | 'drop' | 'release' | 'block'

const fates: Readonly<Record<ErrorCode, Fate>> = {
  'storage-unavailable': 'block',
  'storage-full': 'block',
  'log-unavailable': 'block',
  'log-full': 'block',
  'invalid-request': 'fail',
  'image-lost': 'fail',
  removed: 'drop',
  'log-replaced': 'release',
  'render-failed': 'retry',
  'render-crashed': 'retry',
  'image-damaged': 'retry',
  'undecodable-event': 'retry',
  aborted: 'retry',
  internal: 'retry',
  // a worker never meets these; whatever brought one here may pass
  'malformed-body': 'retry',
  'unsupported-media-type': 'retry',
  'body-too-large': 'retry',
  'url-too-long': 'retry',
  'method-not-allowed': 'retry',
  'forbidden-origin': 'retry',
  'not-found': 'retry',
  'not-ready': 'retry',
  'already-exists': 'retry',
  'idempotency-mismatch': 'retry',
  'illegal-transition': 'retry',
  'query-result': 'retry',
  'too-many-streams': 'retry',
  'log-unsupported': 'retry',
  'database-unavailable': 'retry',
  'projection-behind': 'retry',
  'fence-lost': 'retry',
  'subscribers-unavailable': 'retry',
  'export-unusable': 'retry',
  'invalid-config': 'retry',
  'broker-not-found': 'retry',
  'data-dir-held': 'retry',
  'port-taken': 'retry',
  'start-failed': 'retry',
  unreachable: 'retry',
}

export const fateOf = (error: unknown): Fate => fates[codeOf(error)]

const codeOf = (error: unknown): ErrorCode => (isFaafoError(error) ? error.code : 'internal')

/** An error as it goes into the log, where clients and subscribers read it: unknown ones do not tell their text. */
export const taskErrorOf = (error: unknown): { code: string; message: string } =>
  error instanceof FaafoError
    ? { code: error.code, message: error.message }
    : { code: 'internal', message: "cannot render the fractal: something unforeseen went wrong; see the worker's log" }
