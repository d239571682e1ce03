import { type ChildProcess, spawn } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import type { Logger } from '../platform/logger.ts'
import { pause } from '../platform/shutdown.ts'

export type Program = {
  name: string
  command: string
  args: readonly string[]
  env?: Readonly<Record<string, string | undefined>>
  /** A program that writes a log of its own: its output is not shown. */
  quiet?: boolean
}

export type Supervised = {
  readonly name: string
  /** undefined between an end and the next start. */
  readonly pid: number | undefined
  /** SIGTERM, and SIGKILL where the program has not ended `graceMs` later. It is not started again. */
  stop(graceMs: number): Promise<void>
}

export type Supervisor = {
  /** Starts the program and starts it again whenever it ends, waiting longer after each quick end. */
  run(program: Program): Supervised
  readonly running: readonly Supervised[]
}

const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 5_000
/** A program that lasted this long has recovered: its next wait is short again. */
const STEADY_MS = 10_000

/** `onChange` is called whenever a program has been started. */
export function createSupervisor(logger: Logger, onChange: () => void = () => {}): Supervisor {
  const running: Supervised[] = []
  // However we end, short of SIGKILL: nobody is to be left behind, least of all nats-server, which cannot tell.
  process.once('exit', () => {
    for (const { pid } of running) if (pid !== undefined) sendSignal({ pid }, 'SIGTERM')
  })
  return {
    running,
    run(program) {
      const supervised = supervise(program, logger, onChange)
      running.push(supervised)
      return supervised
    },
  }
}

function supervise(program: Program, logger: Logger, onChange: () => void): Supervised {
  const stopping = new AbortController()
  let child: ChildProcess | undefined
  const ended = (async () => {
    let wait = FIRST_WAIT_MS
    while (!stopping.signal.aborted) {
      const startedAt = Date.now()
      const started = start(program)
      child = started
      started.once('spawn', () => {
        logger.debug({ program: program.name, pid: started.pid }, 'program started')
        onChange()
      })
      const { code, signal, error } = await ending(started)
      child = undefined
      if (stopping.signal.aborted) return
      if (Date.now() - startedAt > STEADY_MS) wait = FIRST_WAIT_MS
      logger.warn({ program: program.name, code, signal, err: error, restartInMs: wait }, 'program ended')
      await pause(wait, stopping.signal)
      wait = Math.min(wait * 2, LONGEST_WAIT_MS)
    }
  })()
  return {
    name: program.name,
    get pid() {
      return child?.pid
    },
    async stop(graceMs) {
      stopping.abort()
      if (child) sendSignal(child, 'SIGTERM')
      const timer = setTimeout(() => {
        logger.warn({ program: program.name, graceMs }, 'program did not stop, killing it')
        if (child) sendSignal(child, 'SIGKILL')
      }, graceMs)
      await ended
      clearTimeout(timer)
    },
  }
}

/**
 * The child gets a process group of its own, so that Ctrl-C in a terminal reaches us alone and the order of stopping
 * is ours; and its standard input stays open as long as we live, so that it can tell when we are gone.
 */
function start(program: Program): ChildProcess {
  const output = program.quiet ? 'ignore' : 'inherit'
  return spawn(program.command, program.args, {
    ...(program.env && { env: program.env }),
    stdio: ['pipe', output, output],
    detached: true,
  })
}

/**
 * In place of `child.kill`, which on Deno also ends the program's standard input, as if we were gone, and takes the
 * signal for its end whatever its exit code is.
 */
export function sendSignal(child: { pid?: number | undefined }, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return
  try {
    process.kill(child.pid, signal)
  } catch {
    // it ended by itself meanwhile
  }
}

const ending = (child: ChildProcess) =>
  new Promise<{ code: number | null; signal: string | null; error?: Error }>((done) => {
    child.once('exit', (code, signal) => done({ code, signal }))
    child.once('error', (error) => child.pid === undefined && done({ code: null, signal: null, error }))
    child.stdin?.on('error', () => {})
  })

/** How to run one of our own entry files, given as a URL without extension relative to `base`, with this runtime. */
export function ownProgram(entry: string, base: string): Pick<Program, 'command' | 'args'> {
  const extension = base.endsWith('.ts') ? '.ts' : '.js'
  const path = fileURLToPath(new URL(`${entry}${extension}`, base))
  const flags = 'Deno' in globalThis ? ['run', '-A'] : process.execArgv
  return { command: process.execPath, args: [...flags, path, '--supervised'] }
}
