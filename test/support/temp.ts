import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** An empty folder, until `remove`; `withTempDir` where a bracket will do. */
export async function tempDir(): Promise<{ dir: string; remove(): Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'faafo-test-'))
  // A program that was killed a moment ago may still write its last file.
  return { dir, remove: () => rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }) }
}

/** Gives `use` an empty folder, and removes it afterwards however `use` ended. */
export async function withTempDir<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const { dir, remove } = await tempDir()
  try {
    return await use(dir)
  } finally {
    await remove()
  }
}
