import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { Socket } from 'node:net'
import process from 'node:process'
import { sendSignal } from '../../services/up/supervisor.ts'
import { ourProgram } from './project.ts'

/** A server that a test starts, kills and starts again. */
export type Child = {
  pid: number
  /** What it wrote to stdout and stderr so far. */
  output(): string
  ended(): boolean
  /** null while it runs, and after a signal */
  exitCode(): number | null
  /** To its standard input. */
  write(text: string): void
  /** Ends its standard input, as the end of this process would. */
  closeInput(): void
  /** Does not keep this process from ending, until `end` is called. */
  unref(): void
  /** Sends the signal, and resolves once the process is gone. */
  end(signal: 'SIGTERM' | 'SIGINT' | 'SIGQUIT' | 'SIGKILL'): Promise<void>
}

const running = new Set<ChildProcess>()
// A test that throws between a start and its bracket must not leave a server behind.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts a program whose standard input stays open as long as this process lives. */
export async function startChild(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<Child> {
  const child = spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] })
  const chunks: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text) => chunks.push(text))
  child.stdin?.on('error', () => undefined)
  let ended: { code: number | null } | undefined
  const gone = new Promise<void>((done) =>
    child.once('exit', (code) => {
      ended = { code }
      done()
    }),
  )
  await new Promise((done, refuse) => child.once('spawn', () => done(undefined)).once('error', refuse))
  running.add(child)
  gone.then(() => running.delete(child))
  return {
    pid: child.pid ?? 0,
    output: () => chunks.join(''),
    ended: () => ended !== undefined,
    exitCode: () => ended?.code ?? null,
    write: (text) => void child.stdin?.write(text),
    closeInput: () => void child.stdin?.end(),
    unref() {
      child.unref()
      for (const stream of [child.stdin, child.stdout, child.stderr]) if (stream instanceof Socket) stream.unref()
    },
    async end(signal) {
      child.ref()
      sendSignal(child, signal)
      await gone
    },
  }
}

/** The same for a file of ours, given by its path from the root and without an extension. */
export function startOurs(path: string, args: readonly string[], options: SpawnOptions = {}): Promise<Child> {
  const [command, first] = ourProgram(path)
  return startChild(command, [...first, ...args], options)
}
