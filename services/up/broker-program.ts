import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { downloadChecked } from './checked-download.ts'

const run = promisify(execFile)

/** The official release that is fetched where none is installed, and the SHA-256 of its archives. */
export const PINNED_RELEASE = {
  version: '2.14.5',
  sha256: {
    'linux-amd64': '5e3b603d47c447bda1f77f9ac16dbf91c90aac4ff3681f8fbbc7201e4ed99355',
    'linux-arm64': '673a98d3faa79dde3f9ebf16d6dfac36a5f694e7ad2015e4954dd7939c85cd4c',
  } as Readonly<Record<string, string>>,
}
const DOWNLOAD_URL = 'https://github.com/nats-io/nats-server/releases/download'
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

export type FindBrokerOptions = {
  /** NATS_SERVER_BIN: when it is given nothing else is looked at. */
  explicit?: string | undefined
  /** The folders of PATH */
  path: readonly string[]
  /** Folder for what was fetched; made when needed. */
  cacheDir: string
  /** Base of the release archives, in place of GitHub's. */
  downloadUrl?: string | undefined
  signal?: AbortSignal | undefined
  /** Told what is tried and why it did not do: it can take minutes on a slow line. */
  report?: ((line: string) => void) | undefined
  platform?: string
  arch?: string
  /** Checksums by platform, in place of the pinned release's: tests have no archive of the real one. */
  sha256?: Readonly<Record<string, string>>
  /** Where programs are searched after PATH: Debian installs to a folder that is not in a user's PATH. */
  systemDirs?: readonly string[]
  /** Whether the distribution's package may be fetched. */
  apt?: boolean
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

async function fetchRelease({
  cacheDir,
  downloadUrl = DOWNLOAD_URL,
  signal,
  report,
  platform = process.platform,
  arch = process.arch,
  sha256 = PINNED_RELEASE.sha256,
}: FindBrokerOptions): Promise<string> {
  const target = `${platform}-${arch === 'x64' ? 'amd64' : arch}`
  const checksum = sha256[target]
  if (platform !== 'linux' || checksum === undefined) throw new Error(`none is fetched for ${target}`)
  const name = `nats-server-v${PINNED_RELEASE.version}-${target}`
  return inCache(cacheDir, `nats-server-v${PINNED_RELEASE.version}`, async (dir) => {
    const archive = join(dir, 'archive.tar.gz')
    const url = `${downloadUrl.replace(/\/+$/, '')}/v${PINNED_RELEASE.version}/${name}.tar.gz`
    report?.(`fetching ${url}`)
    await downloadChecked({ url, file: archive, sha256: checksum, signal })
    await run('tar', ['-xzf', archive, '-C', dir, '--strip-components=1', `${name}/nats-server`])
    return join(dir, 'nats-server')
  })
}

async function fetchPackage({
  cacheDir,
  signal,
  report,
  platform = process.platform,
  apt = true,
}: FindBrokerOptions): Promise<string> {
  if (!apt || platform !== 'linux') throw new Error('none is fetched here')
  return inCache(cacheDir, 'nats-server-apt', async (dir) => {
    const call = (args: string[], timeout: number) =>
      run('apt-get', ['-q', '-o', 'Acquire::Retries=0', '-o', 'Acquire::http::Timeout=10', ...args], {
        cwd: dir,
        timeout,
        ...(signal && { signal }),
      })
    report?.('fetching the package nats-server of the distribution')
    try {
      await call(['download', 'nats-server'], 60_000)
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') throw new Error('there is no apt-get')
      // The lists may be missing or out of date, and only root may renew the system's: renew a set of our own.
      report?.('fetching package lists')
      const state = join(dir, 'state')
      const cache = join(dir, 'cache')
      for (const folder of [join(state, 'lists', 'partial'), join(cache, 'archives', 'partial')])
        await mkdir(folder, { recursive: true })
      const own = [
        '-o',
        `Dir::State=${state}`,
        '-o',
        'Dir::State::status=/var/lib/dpkg/status',
        '-o',
        `Dir::Cache=${cache}`,
      ]
      // Run by root, apt would fetch as a user who may not write here.
      if (process.getuid?.() === 0) own.push('-o', 'APT::Sandbox::User=root')
      await call([...own, 'update'], 180_000)
      await call([...own, 'download', 'nats-server'], 60_000)
    }
    const file = (await readdir(dir)).find((name) => name.endsWith('.deb'))
    if (file === undefined) throw new Error('apt-get fetched nothing')
    await run('dpkg-deb', ['-x', join(dir, file), join(dir, 'root')])
    return join(dir, 'root', 'usr', 'sbin', 'nats-server')
  })
}

/**
 * Has `make` produce a program in a fresh folder, and moves it to `<cacheDir>/<name>/nats-server`. A rename puts it
 * there whole, so that two starters and a kill in the middle leave a program that runs or none.
 */
async function inCache(cacheDir: string, name: string, make: (dir: string) => Promise<string>): Promise<string> {
  await mkdir(cacheDir, { recursive: true })
  const dir = await mkdtemp(join(cacheDir, '.fetch-'))
  try {
    const made = await make(dir)
    await mkdir(join(cacheDir, name), { recursive: true })
    const program = join(cacheDir, name, 'nats-server')
    await rename(made, program)
    return program
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
