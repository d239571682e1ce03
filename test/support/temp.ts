import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Gives `use` an empty folder, and removes it afterwards however `use` ended. */
export async function withTempDir<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'faafo-test-'))
  try {
    return await use(dir)
  } finally {
    // A program that was killed a moment ago may still write its last file.
    await rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
  }
}
