import { type ChildProcess, spawn } from 'node:child_process'
import process from 'node:process'
import { Writable } from 'node:stream'
import { runProgram } from '../../services/cli/program.ts'
import { ourProgram, root } from '../support/project.ts'

export type Ended = { code: number | null; stdout: string; stderr: string }
export type Running = { child: ChildProcess; ended: Promise<Ended>; stdout(): string; stderr(): string }
export type RunOptions = { endpoint?: string; cwd?: string; env?: Record<string, string>; stdout?: number }

/** Without the lines that tell how far something is, of which there are more the longer it takes. */
export const withoutProgress = (stderr: string): string => stderr.replace(/^[a-z]+: \d+ %, .*\n/gm, '')

/** Starts the command line from its sources, with none of our own settings in its environment. */
export function startProgram(
  args: readonly string[],
  { endpoint, cwd = root, env = {}, stdout }: RunOptions = {},
): Running {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(FAAFO_(ENDPOINT|API)|NATS_|DATABASE_)/.test(name),
  )
  const [command, first] = ourProgram('services/cli/main')
  const child = spawn(command, [...first, ...args], {
    cwd,
    env: { ...Object.fromEntries(inherited), ...(endpoint && { FAAFO_ENDPOINT_URL: endpoint }), ...env },
    stdio: ['ignore', stdout ?? 'pipe', 'pipe'],
  })
  const text = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk
    })
  }
  const ended = new Promise<Ended>((done, fail) => {
    child.once('error', fail)
    child.once('close', (code) => done({ code, ...text }))
  })
  return { child, ended, stdout: () => text.stdout, stderr: () => text.stderr }
}

/** Runs the command line within this process: the same, but for signals and pipes, and much sooner. */
export async function runHere(
  args: readonly string[],
  endpoint = '',
  env: Record<string, string> = {},
): Promise<Ended> {
  const text = { stdout: '', stderr: '' }
  const into = (name: keyof typeof text) =>
    new Writable({
      write(chunk, _, done) {
        text[name] += chunk
        done()
      },
    })
  const surroundings = { env: { FAAFO_ENDPOINT_URL: endpoint, ...env }, stdout: into('stdout'), stderr: into('stderr') }
  const code = await runProgram(args, surroundings)
  return { code, ...text }
}
