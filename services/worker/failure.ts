import { type ErrorCode, FaafoError, isFaafoError, messageOf } from '../../events/errors.ts'

/** A render's error on its way out of the thread or process that met it. An error that is not ours has no code. */
export type Failure = { error: { code: ErrorCode | null; message: string; stack?: string | undefined } }

export const failureOf = (error: unknown): Failure =>
  isFaafoError(error)
    ? { error: { code: error.code, message: error.message } }
    : { error: { code: null, message: messageOf(error), ...(error instanceof Error && { stack: error.stack }) } }

/** The error again: one of ours is one of ours, of another the stack is kept for the worker's log. */
export function errorOf({ error: { code, message, stack } }: Failure): Error {
  if (code !== null) return new FaafoError(code, message)
  const error = new Error(message)
  if (stack !== undefined) error.stack = stack
  return error
}

export const threadLost = (error: unknown): FaafoError =>
  new FaafoError('render-crashed', 'cannot render the fractal: the thread that rendered it ended', { cause: error })
