import { once } from 'node:events'
import process from 'node:process'
import type { Writable } from 'node:stream'
import { type Command, CommanderError } from 'commander'
import { FaafoError, isFaafoError, messageOf } from '../../events/errors.ts'
import { type Client, createClient } from './client.ts'

/** What one run of the program stands in. */
export type Surroundings = {
  env: Readonly<Record<string, string | undefined>>
  stdout: Writable & { isTTY?: boolean; columns?: number }
  stderr: Writable & { isTTY?: boolean }
}

/** What a command works with while it runs. Results go to stdout, everything else is a line on stderr. */
export type Session = Surroundings & {
  /** Fires on Ctrl-C, SIGTERM and SIGHUP (its terminal was closed). */
  signal: AbortSignal
  client: Client
  /** Writes to stdout; resolves once there is room for more. Throws where `signal` fires before. */
  print(text: string | Uint8Array): Promise<void>
  printJson(value: unknown): Promise<void>
  say(line: string): void
  /** Said under `--verbose` and `--debug` only. */
  detail(line: string): void
  /** Says an error that does not end the command, which fails in the end. Throws it again where nothing answers. */
  report(error: unknown): void
}

export const DEFAULT_ENDPOINT = 'http://127.0.0.1:8080'
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/**
 * Runs a command's action; throws a CommanderError where the exit code is not 0. Once nobody reads its output any more
 * (`| head`) the program ends with exit code 0, or, where the command `changes` something, goes on without a word.
 */
export async function inSession(
  command: Command,
  surroundings: Surroundings,
  act: (session: Session) => Promise<void>,
  { changes = false } = {},
): Promise<void> {
  const { env, stdout, stderr } = surroundings
  const { endpointUrl, verbose, debug } = command.optsWithGlobals<GlobalOptions>()
  const say = (line: string) => void stderr.write(`${line}\n`)
  let failed: number | undefined
  let interrupted: number | undefined
  const controller = new AbortController()
  const { signal } = controller
  let isRead = true
  const onOutputError = ({ code }: NodeJS.ErrnoException) => {
    if (code !== 'EPIPE') return
    if (!changes) process.exit(0)
    isRead = false
  }
  stdout.on('error', onOutputError)
  async function print(text: string | Uint8Array): Promise<void> {
    if (!isRead || stdout.write(text)) return
    await once(stdout, 'drain', { signal }).catch((error) => {
      if (isRead) throw error
    })
  }
  const listeners = Object.entries(SIGNALS).map(([name, code]) => {
    const onSignal = () => {
      interrupted = code
      controller.abort()
    }
    process.once(name, onSignal)
    return () => process.off(name, onSignal)
  })
  try {
    await act({
      ...surroundings,
      signal,
      client: clientFor(
        endpointUrl ?? (env.FAAFO_ENDPOINT_URL || DEFAULT_ENDPOINT),
        env,
        (verbose || debug) && loggingFetch(say, debug),
      ),
      print,
      printJson: (value) => print(`${JSON.stringify(value, null, 2)}\n`),
      say,
      detail: (line) => (verbose || debug) && say(line),
      report(error) {
        if (signal.aborted || isFaafoError(error, 'unreachable')) throw error
        failed = exitCodeOf(error)
        say(errorText(error, debug))
      },
    })
  } catch (error) {
    if (interrupted === undefined) throw error
  } finally {
    for (const remove of listeners) remove()
    stdout.off('error', onOutputError)
  }
  const code = interrupted ?? failed
  if (code !== undefined) throw new CommanderError(code, 'faafo.ended', '')
}

export type GlobalOptions = { endpointUrl?: string; verbose?: boolean; debug?: boolean }

function clientFor(
  endpoint: string,
  env: Surroundings['env'],
  fetch: typeof globalThis.fetch | undefined | false,
): Client {
  const { FAAFO_API_KEY: apiKey } = env
  try {
    return createClient({
      endpoint,
      userAgent: 'faafo-cli',
      ...(apiKey && { apiKey }),
      ...(fetch && { fetch }),
    })
  } catch (error) {
    throw isFaafoError(error, 'invalid-request') ? usageError(error.message) : error
  }
}

/** Says every exchange: its path, or the whole URL. */
const loggingFetch =
  (log: (line: string) => void, wholeUrl = false): typeof fetch =>
  async (input, init) => {
    const startedAt = performance.now()
    const exchange = `${init?.method ?? 'GET'} ${wholeUrl ? String(input) : new URL(String(input)).pathname}`
    const took = () => `${(performance.now() - startedAt).toFixed(1)} ms`
    try {
      const response = await fetch(input, init)
      log(`${exchange} ${response.status} ${took()}`)
      return response
    } catch (error) {
      log(`${exchange} ${messageOf(error)} ${took()}`)
      throw error
    }
  }

/** A wrong command line: exit code 2. */
export const usageError = (message: string): CommanderError => new CommanderError(2, 'faafo.usage', message)

/** 1 failed, 2 usage, 3 unreachable. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError)
    return error.code.startsWith('commander.') && error.exitCode !== 0 ? 2 : error.exitCode
  if (isFaafoError(error, 'unreachable')) return 3
  return isFaafoError(error, 'invalid-config') ? 2 : 1
}

/** Where a wrong use of the command is made good. */
export const helpHint = (command: Command): string => `; see ${pathOf(command)} --help`

const pathOf = (command: Command): string =>
  command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name()

/** One line; the whole stack with its causes under `--debug`. `command` is the one that ended with it. */
export function errorText(error: unknown, debug = false, command?: Command): string {
  if (debug && error instanceof Error && !(error instanceof CommanderError)) return stackOf(error)
  const isUsage = error instanceof CommanderError && error.code === 'faafo.usage'
  const hint = isUsage && command ? helpHint(command) : ''
  return `faafo: ${messageOf(error).replace(/\s*\n\s*/g, ' ')}${hint}`
}

const stackOf = (error: Error): string =>
  `faafo: ${error.stack ?? error.message}${error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : ''}`

/** The answer about one fractal, where an unknown one reads as it always did. */
export async function about<T>(uuid: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    if (!isFaafoError(error, 'not-found') && !isFaafoError(error, 'removed')) throw error
    const why = error.code === 'removed' ? ': it was deleted' : ''
    throw new FaafoError(error.code, `fractal '${uuid}' not found${why}`, { cause: error, details: error.details })
  }
}

/** The error with a command, or what it takes, as its advice, where the api's own is a request that cannot be typed here. */
export function advising(command: string, error: unknown): unknown {
  if (!isFaafoError(error)) return error
  const message = error.message
    .replace(/POST \S+\/retry\b/, command)
    .replace(/repeat the request with the same (uuid|Idempotency-Key)/, `repeat it with ${command}`)
  return new FaafoError(error.code, message, { cause: error, details: error.details })
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** A uuid argument in lower case. Throws a usage error. */
export function parseUuid(text: string): string {
  const uuid = text.toLowerCase()
  if (!UUID.test(uuid)) {
    throw usageError(`cannot read '${text}' as a uuid: expected one such as 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11`)
  }
  return uuid
}
