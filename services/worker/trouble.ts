import { backoffMs } from '../../events/attempts.ts'
import { FaafoError, messageOf } from '../../events/errors.ts'
import type { Logger } from '../platform/logger.ts'
import { orAborted, pause } from '../platform/shutdown.ts'
import { fateOf } from './fate.ts'

const CHECK_MS = 1_000

/** Trouble that all tasks of this worker share: the storage or the log is away or full. */
export type Trouble = {
  /** What it is, null while there is none. */
  reason(): string | null
  /** Resolves once there is none. Throws `aborted` when `signal` fires before. */
  over(signal: AbortSignal): Promise<void>
  /**
   * The result of `action`, done again from the start after each shared trouble, ever later where that comes back at
   * once: a check may find well what the action finds full. Throws `aborted`, and what is not shared.
   */
  outlast<T>(action: () => Promise<T>, signal: AbortSignal): Promise<T>
}

/**
 * `check` resolves where all is well. It is asked every second, from the first sign of trouble until it says so or
 * `signal` fires.
 */
export function watchTrouble(parts: { check: () => Promise<void>; logger: Logger; signal: AbortSignal }): Trouble {
  const { check, logger, signal: end } = parts
  let trouble: { reason: string; over: Promise<void> } | null = null

  async function untilWell(): Promise<void> {
    while (!end.aborted) {
      await pause(CHECK_MS, end)
      try {
        await check()
        trouble = null
        logger.info('unblocked')
        return
      } catch (error) {
        if (trouble) trouble.reason = messageOf(error)
      }
    }
  }

  function report(error: unknown): void {
    if (trouble) return
    const reason = messageOf(error)
    logger.warn({ reason }, 'blocked')
    trouble = { reason, over: untilWell() }
  }

  async function over(signal: AbortSignal): Promise<void> {
    while (trouble && !signal.aborted) await orAborted(trouble.over, signal)
    if (signal.aborted) throw new FaafoError('aborted', 'cannot go on: the worker stops')
  }

  return {
    reason: () => trouble?.reason ?? null,
    over,
    async outlast(action, signal) {
      for (let failures = 0; ; failures++) {
        if (failures > 1) await pause(backoffMs(failures - 1), signal)
        await over(signal)
        try {
          return await action()
        } catch (error) {
          if (fateOf(error) !== 'block') throw error
          report(error)
        }
      }
    },
  }
}
