import { join } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { isFaafoError } from '../../events/errors.ts'
import { parseConfig } from '../platform/config.ts'
import { createLogger } from '../platform/logger.ts'
import { runService } from '../platform/run-service.ts'
import { aborted, pause, stopSignal } from '../platform/shutdown.ts'
import { type HeldDataDir, holdDataDir } from './data-dir.ts'
import { startPgliteServer } from './pglite-server.ts'

/*
 * The embedded database's process: --data-dir DIR --port N [--supervised]. LOG_LEVEL and LOG_FORMAT as everywhere.
 */

/** A database whose `faafo up` was killed notices that and ends; one that did not by then never will. */
const LEFTOVER_GRACE_MS = 5_000

await runService('database', async () => {
  const config = parseConfig(process.env)
  const { values } = parseArgs({
    options: {
      'data-dir': { type: 'string', default: config.dataDir },
      port: { type: 'string', default: '0' },
      supervised: { type: 'boolean', default: false },
    },
  })
  const logger = createLogger('database', config)
  const stop = stopSignal(logger, values)
  const folder = join(values['data-dir'], 'database')
  const held = await holdDatabase(`${folder}.lock`, values.supervised)
  try {
    const server = await startPgliteServer({ dataDir: folder, port: Number(values.port) })
    if (server.setAside)
      logger.warn(server.setAside, 'the database did not open and was set aside; it is built again from the log')
    logger.info({ port: server.port, folder }, 'database ready')
    const death = await Promise.race([server.failed, aborted(stop)])
    // A dead engine cannot be closed; the supervisor starts the next one.
    if (death) throw death
    await server.close()
  } finally {
    await held.release()
  }
  process.exit(0)
})

/**
 * The database folder is this process's alone: two engines on one folder destroy it. Under `faafo up`, which holds the
 * data folder, whoever else has it was left behind by an earlier one, and is ended if it does not end by itself.
 */
async function holdDatabase(folder: string, supervised: boolean): Promise<HeldDataDir> {
  const deadline = Date.now() + LEFTOVER_GRACE_MS
  for (;;) {
    try {
      return await holdDataDir(folder, { what: 'the embedded database' })
    } catch (error) {
      if (!supervised || !isFaafoError(error, 'data-dir-held')) throw error
      const { pid, foreign } = error.details
      if (foreign !== false || typeof pid !== 'number') throw error
      if (Date.now() > deadline) process.kill(pid, 'SIGKILL')
      await pause(100)
    }
  }
}
