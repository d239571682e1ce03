import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
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

export type FetchOptions = {
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
  /** Whether the distribution's package may be fetched. */
  apt?: boolean
}

/** Fetches the pinned release for this platform; throws where there is none, or it cannot be had. */
export async function fetchRelease({
  cacheDir,
  downloadUrl = DOWNLOAD_URL,
  signal,
  report,
  platform = process.platform,
  arch = process.arch,
  sha256 = PINNED_RELEASE.sha256,
}: FetchOptions): Promise<string> {
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

/** Has the distribution's own tools fetch its package, and unpacks it without being root. */
export async function fetchPackage({
  cacheDir,
  signal,
  report,
  platform = process.platform,
  apt = true,
}: FetchOptions): Promise<string> {
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
