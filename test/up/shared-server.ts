import { join } from 'node:path'
import { startPgliteServer } from '../../services/up/pglite-server.ts'
import { copyEmptyPglite, withClient } from '../support/database.ts'
import { tempDir } from '../support/temp.ts'

/** One server for all tests of a file, for opening a folder takes a second; the last test closes it, and removes `dir`. */
export async function startSharedServer() {
  const { dir, remove } = await tempDir()
  // Long enough that a busy machine does not count as idle.
  const limits = { idleInTransactionMs: 2_000, turnWaitMs: 6_000 }
  await copyEmptyPglite(join(dir, 'database'))
  const server = await startPgliteServer({ dataDir: join(dir, 'database'), port: 0, ...limits })
  const url = `postgres://postgres@127.0.0.1:${server.port}/postgres`
  // With its first answer the engine reports its settings, which no test is to meet.
  await withClient(url, (sql) => sql`select 1`)
  return { server, url, dir, remove }
}
