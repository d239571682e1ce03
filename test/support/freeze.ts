import { readdirSync, readFileSync } from 'node:fs'
import process from 'node:process'
import { until } from './until.ts'

/**
 * Stops a process (SIGSTOP) and waits until all of it stands still: on a busy machine its other threads run on for a
 * moment, and may answer. SIGCONT lets it go on.
 */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  await until(() => statesOf(pid).every((state) => state === 'T'), { what: `process ${pid} stands still`, everyMs: 1 })
}

/** The letter of proc(5) for each thread; none where there is no /proc. */
function statesOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(
      (thread) => readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').split(') ').at(-1)?.[0] ?? '',
    )
  } catch {
    return []
  }
}
