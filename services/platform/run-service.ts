import process from 'node:process'
import { isFaafoError } from '../../events/errors.ts'

/**
 * Runs a service's body. A refused start is one line on stderr that says what to change: exit code 2 where the
 * configuration is at fault, else 1. Anything unforeseen keeps its stack, and exit code 1.
 */
export async function runService(name: string, body: () => Promise<void>): Promise<void> {
  try {
    await body()
  } catch (error) {
    const text = isFaafoError(error) ? error.message : error instanceof Error ? error.stack : String(error)
    process.stderr.write(`faafo ${name}: ${text}\n`)
    process.exit(isFaafoError(error, 'invalid-config') ? 2 : 1)
  }
}
