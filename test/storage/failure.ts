import { type ErrorCode, isFaafoError } from '../../events/errors.ts'

/** The message of the error that `work` ends with, which has this code. */
export async function fails(code: ErrorCode, work: () => Promise<unknown>): Promise<string> {
  try {
    await work()
  } catch (error) {
    if (isFaafoError(error, code)) return error.message
    throw error
  }
  throw new Error(`did not fail with ${code}`)
}
