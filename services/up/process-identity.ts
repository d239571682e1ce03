import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import process from 'node:process'

/** Whether a process with this pid exists. One that ended but was not reaped (a zombie) counts as gone. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
  return procStat(pid)?.state !== 'Z'
}

/**
 * When the process was started, as an opaque text to compare: boot and clock ticks since then. Pids are given out
 * again, this pair is not. null where there is no /proc to read.
 */
export function startOf(pid: number): string | null {
  const stat = procStat(pid)
  if (stat === null) return null
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${stat.startTicks}`
  } catch {
    return stat.startTicks
  }
}

/** The command line of a running process, its arguments separated by spaces; null when it is gone. */
export function commandLineOf(pid: number): string | null {
  if (!isAlive(pid)) return null
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() || null
  } catch {
    try {
      return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).trim() || null
    } catch {
      return null
    }
  }
}

/** Fields 3 and 22 of /proc/<pid>/stat; the second field is a name in brackets that may hold anything. */
function procStat(pid: number): { state: string; startTicks: string } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { state: fields[0] ?? '', startTicks: fields[19] ?? '' }
  } catch {
    return null
  }
}
