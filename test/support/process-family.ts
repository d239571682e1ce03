import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import process from 'node:process'

/*
 * A process together with everything that it starts. It leads a process group, and a mark in its environment is handed
 * down, so that descendants which left the group (a daemon, a detached child) are found too, where /proc exists.
 */
export type ProcessFamily = {
  child: ChildProcess
  /** Living members but the leader, as `pid command line`. */
  orphans: () => string[]
  /** Ends every member at once (SIGKILL). */
  kill: () => void
}

type Member = { pid: number; command: string }

const MARK = 'FAAFO_TEST_FAMILY'

export function spawnFamily(command: string, args: string[], options: { cwd: string }): ProcessFamily {
  const mark = randomUUID()
  const marks = [process.env[MARK], mark].filter(Boolean).join('/')
  const child = spawn(command, args, {
    cwd: options.cwd,
    detached: true,
    env: { ...process.env, [MARK]: marks },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const members = () => (child.pid === undefined ? [] : livingMembers(child.pid, mark))
  return {
    child,
    orphans: () =>
      members()
        .filter(({ pid }) => pid !== child.pid)
        .map(({ pid, command }) => `${pid} ${command}`),
    kill: () => {
      if (child.pid === undefined) return
      sendKill(-child.pid)
      for (const { pid } of members()) sendKill(pid)
    },
  }
}

function livingMembers(group: number, mark: string): Member[] {
  if (process.platform !== 'linux') return groupIsAlive(group) ? [{ pid: -group, command: '(its process group)' }] : []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readMember(Number(name), group, mark) ?? [])
}

/** null where the process is another's, is gone or has ended and only waits to be collected. */
function readMember(pid: number, group: number, mark: string): Member | null {
  try {
    // pid (command) state ppid pgrp …; the command may itself hold spaces and parentheses
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (state === 'Z' || state === 'X') return null
    if (Number(pgrp) !== group && !readFileSync(`/proc/${pid}/environ`, 'utf8').includes(mark)) return null
    return { pid, command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() }
  } catch {
    return null
  }
}

function groupIsAlive(group: number): boolean {
  try {
    return process.kill(-group, 0)
  } catch {
    return false
  }
}

function sendKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it ended by itself meanwhile
  }
}
