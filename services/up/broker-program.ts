import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { type FetchOptions, fetchPackage, fetchRelease } from './broker-fetch.ts'

const run = promisify(execFile)

const OLDEST = '2.9.10'
const WAYS =
  'install it (Debian, Ubuntu: apt install nats-server; macOS: brew install nats-server), or start one with Docker ' +
  '(docker run -p 4222:4222 nats -js) and set NATS_URL=nats://127.0.0.1:4222, or set NATS_URL to any other broker, ' +
  'or set NATS_SERVER_BIN to the path of a nats-server program'

export type BrokerProgram = {
  program: string
  version: string
  origin: 'NATS_SERVER_BIN' | 'PATH' | 'cache' | 'download' | 'apt'
}

export type FindBrokerOptions = FetchOptions & {
  /** NATS_SERVER_BIN: when it is given nothing else is looked at. */
  explicit?: string | undefined
  /** The folders of PATH */
  path: readonly string[]
  /** Where programs are searched after PATH: Debian installs to a folder that is not in a user's PATH. */
  systemDirs?: readonly string[]
}

/**
 * A nats-server that runs here: NATS_SERVER_BIN, PATH, the cache, the official release, the distribution's package.
 * Throws `broker-not-found`, naming what was tried and the ways out, and `log-unsupported` for a NATS_SERVER_BIN older
 * than 2.9.10; elsewhere a program that is too old is passed over.
 */
export async function findBroker(options: FindBrokerOptions): Promise<BrokerProgram> {
  const { explicit, path, cacheDir, signal, report = () => undefined } = options
  if (explicit !== undefined) return explicitBroker(explicit)

  const tried: string[] = []
  const passOver = (what: string, error: unknown) => {
    signal?.throwIfAborted()
    const line = `${what}: ${lastLine(messageOf(error))}`
    tried.push(line)
    report(line)
  }
  const { systemDirs = ['/usr/sbin', '/usr/local/sbin'] } = options
  const installed = [...path, ...systemDirs].filter((dir) => dir !== '')
  for (const [origin, dirs] of [
    ['PATH', installed],
    ['cache', await cached(cacheDir)],
  ] as const) {
    for (const program of await programsIn(dirs)) {
      try {
        return { program, version: await versionOf(program), origin }
      } catch (error) {
        passOver(program, error)
      }
    }
  }
  for (const [origin, fetch] of [
    ['download', fetchRelease],
    ['apt', fetchPackage],
  ] as const) {
    try {
      const program = await fetch(options)
      return { program, version: await versionOf(program), origin }
    } catch (error) {
      passOver(origin === 'apt' ? 'package of the distribution' : 'official release', error)
    }
  }
  throw new FaafoError(
    'broker-not-found',
    `cannot find a nats-server to start: ${tried.join('; ')}. You can ${WAYS}.`,
    {
      details: { tried },
    },
  )
}

/** A program that failed is reported with all that it printed; its last line is the reason. */
const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? ''

async function explicitBroker(program: string): Promise<BrokerProgram> {
  try {
    return { program, version: await versionOf(program), origin: 'NATS_SERVER_BIN' }
  } catch (error) {
    if (error instanceof FaafoError) throw error
    throw new FaafoError(
      'broker-not-found',
      `cannot run NATS_SERVER_BIN=${program}: ${messageOf(error)}; set it to a nats-server program, or leave it unset to have one found`,
      { cause: error },
    )
  }
}

async function programsIn(dirs: readonly string[]): Promise<string[]> {
  const programs: string[] = []
  for (const dir of dirs) {
    for (const name of ['nats-server', 'nats-server.exe']) {
      const program = join(dir, name)
      if (
        await access(program, constants.X_OK).then(
          () => true,
          () => false,
        )
      )
        programs.push(program)
    }
  }
  return programs
}

/** The folders of the cache, the pinned release before the distribution's package. */
async function cached(cacheDir: string): Promise<string[]> {
  const names = await readdir(cacheDir).catch(() => [])
  return names
    .filter((name) => /^nats-server-[\w.-]+$/.test(name))
    .sort((a, b) => (a.endsWith('-apt') ? 1 : 0) - (b.endsWith('-apt') ? 1 : 0))
    .map((name) => join(cacheDir, name))
}

/** What `nats-server --version` says, such as `2.14.5`. Throws `log-unsupported` below 2.9.10. */
async function versionOf(program: string): Promise<string> {
  const { stdout } = await run(program, ['--version'], { timeout: 10_000 })
  const version = /v(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1]
  if (version === undefined)
    throw new Error(`it does not say a nats-server version but ${JSON.stringify(stdout.slice(0, 80))}`)
  if (isOlder(version, OLDEST))
    throw new FaafoError(
      'log-unsupported',
      `cannot use nats-server ${version} (${program}): ${OLDEST} or later is needed`,
      {
        details: { version, program },
      },
    )
  return version
}

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map((part) => Number.parseInt(part, 10)))
  for (let i = 0; i < 3; i++) {
    const difference = (a?.[i] ?? 0) - (b?.[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}
