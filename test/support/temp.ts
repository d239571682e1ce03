import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

let kept: string[] | undefined

/**
 * From now on folders stay until the function that it returns is called. Benchmarks need it: ext4 without a journal
 * makes files ten times as slowly for half a minute after many were removed.
 */
export function keepTempDirs(): () => Promise<void> {
  const dirs: string[] = []
  kept = dirs
  return async () => {
    for (const dir of dirs) await removeFolder(dir)
  }
}

/** An empty folder, until `remove`; `withTempDir` where a bracket will do. */
export async function tempDir(): Promise<{ dir: string; remove(): Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'faafo-test-'))
  return { dir, remove: async () => void (kept ? kept.push(dir) : await removeFolder(dir)) }
}

// A program that was killed a moment ago may still write its last file.
const removeFolder = (dir: string) => rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })

/** Gives `use` an empty folder, and removes it afterwards however `use` ended. */
export async function withTempDir<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const { dir, remove } = await tempDir()
  try {
    return await use(dir)
  } finally {
    await remove()
  }
}
