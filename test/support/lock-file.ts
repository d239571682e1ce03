/*
 * npm writes a package-lock.json without the optional packages of other platforms where the registry at hand does not
 * serve them, and `npm ci` then refuses its own lock ("Missing … from lock file"). What such an entry must say follows
 * from the package's name, so it can be completed without asking a registry.
 */
export type LockEntry = {
  version?: string
  dev?: boolean
  optional?: boolean
  os?: string[]
  cpu?: string[]
  libc?: string[]
  optionalDependencies?: Record<string, string>
  [field: string]: unknown
}

export type LockFile = { packages: Record<string, LockEntry>; [field: string]: unknown }

type Missing = { name: string; version: string; dev: boolean }

const SYSTEMS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32']
const PROCESSORS = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64']
const LIBCS = new Map([
  ['gnu', 'glibc'],
  ['glibc', 'glibc'],
  ['musl', 'musl'],
])

/** Optional dependencies that no entry of the lock satisfies, in the order in which they are named. */
export function missingFrom(lock: LockFile): Missing[] {
  return Object.entries(lock.packages).flatMap(([path, entry]) =>
    Object.entries(entry.optionalDependencies ?? {})
      .filter(([name]) => !isLocked(lock, path, name))
      .map(([name, range]) => ({ name, version: range.replace(/^[\^~]/, ''), dev: entry.dev === true })),
  )
}

/** The lock with every missing entry, its packages in npm's order. Throws where a name does not tell its platform. */
export function completeLock(lock: LockFile): LockFile {
  const added = missingFrom(lock).map((missing): [string, LockEntry] => [
    `node_modules/${missing.name}`,
    entryOf(missing),
  ])
  const packages = [...Object.entries(lock.packages), ...added].sort(([a], [b]) => a.localeCompare(b, 'en'))
  return { ...lock, packages: Object.fromEntries(packages) }
}

/** Whether node's look-up from the package at `path` finds `name`: in its own node_modules, or in one above it. */
function isLocked(lock: LockFile, path: string, name: string): boolean {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    if (lock.packages[`${folder === '' ? '' : `${folder}/`}node_modules/${name}`]) return true
    if (folder === '') return false
  }
}

function entryOf({ name, version, dev }: Missing): LockEntry {
  const words = name.split(/[/-]/)
  const os = words.filter((word) => SYSTEMS.includes(word))
  const cpu = words.filter((word) => PROCESSORS.includes(word))
  const libc = words.flatMap((word) => LIBCS.get(word) ?? [])
  if (os.length !== 1 || cpu.length !== 1 || version === '') {
    throw new Error(`cannot complete the lock file: the platform of ${name} ${version} does not follow from its name`)
  }
  return { version, cpu, ...(dev ? { dev } : {}), ...(libc.length > 0 ? { libc } : {}), optional: true, os }
}
