import process from 'node:process'
import type { Logger } from './logger.ts'

/** A process that is told to stop and does not within this time ends itself; the log makes that harmless. */
const HARD_STOP_MS = 9_000

/**
 * A signal that fires once this process is to stop: on SIGTERM, SIGINT and SIGHUP (its terminal was closed), or, under
 * a supervisor, when the supervisor is gone (our standard input, a pipe that it holds open, ends). A second signal ends the process at once.
 */
export function stopSignal(logger: Logger, { supervised }: { supervised: boolean }): AbortSignal {
  const controller = new AbortController()
  const stop = (why: string) => {
    if (controller.signal.aborted) {
      logger.warn({ why }, 'ending at once')
      process.exit(1)
    }
    logger.info({ why }, 'stopping')
    controller.abort()
    setTimeout(() => {
      logger.error('did not stop in time')
      process.exit(1)
    }, HARD_STOP_MS).unref()
  }
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => stop(name))
  if (supervised) {
    const parentGone = () => controller.signal.aborted || stop('the supervisor is gone')
    process.stdin.on('end', parentGone).on('error', parentGone).on('close', parentGone).resume()
  }
  return controller.signal
}

/** Resolves once `signal` has fired. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((done) => {
    if (signal.aborted) done()
    else signal.addEventListener('abort', () => done(), { once: true })
  })

/** Resolves once `work` has ended, either way, or `signal` has fired. */
export const orAborted = (work: Promise<unknown>, signal: AbortSignal): Promise<void> =>
  new Promise((done) => {
    if (signal.aborted) return done()
    const finish = () => {
      signal.removeEventListener('abort', finish)
      done()
    }
    signal.addEventListener('abort', finish, { once: true })
    work.then(finish, finish)
  })

/** The longest that timers take, 25 days. */
const LONGEST_MS = 2 ** 31 - 1

/** Resolves after `ms`, or 25 days where that is more, or at once when `signal` fires. */
export const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((done) => {
    if (signal?.aborted) return done()
    const finish = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', finish)
      done()
    }
    const timer = setTimeout(finish, Math.min(ms, LONGEST_MS))
    signal?.addEventListener('abort', finish, { once: true })
  })

/** Whether a supervisor runs this process (`--supervised` among its arguments). */
export const isSupervised = (argv: readonly string[]): boolean => argv.includes('--supervised')
