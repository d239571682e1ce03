import { spawn } from 'node:child_process'
import process from 'node:process'
import { launcher } from './project.ts'

type CliResult = { code: number | null; stdout: string; stderr: string }

type Options = { env?: Record<string, string>; cwd?: string }

/** Starts the built `faafo` with these arguments, as a shell would. */
export function startFaafo(args: readonly string[], options: Options = {}) {
  const child = spawn(process.execPath, [launcher, ...args], {
    env: { ...process.env, ...options.env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const text = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk
    })
  }
  const closed = new Promise<number | null>((done, fail) => {
    child.once('error', fail).once('close', (code, signal) => {
      if (signal) text.stderr += `\nit was ended by ${signal}\n`
      done(code)
    })
  })
  return {
    /** All that it wrote so far. */
    text: () => text.stdout + text.stderr,
    /** Sends SIGINT, and resolves to the exit code. */
    end: () => {
      child.kill('SIGINT')
      return closed
    },
    result: async (): Promise<CliResult> => ({ code: await closed, ...text }),
  }
}

/** Runs it to its end. */
export const faafo = (args: readonly string[], options: Options = {}): Promise<CliResult> =>
  startFaafo(args, options).result()
