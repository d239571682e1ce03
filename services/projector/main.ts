import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import process from 'node:process'
import { openBroker } from '../platform/broker.ts'
import { parseConfig } from '../platform/config.ts'
import { openDatabase } from '../platform/database.ts'
import { VERSION } from '../platform/identity.ts'
import { createLog } from '../platform/log.ts'
import { createLogger } from '../platform/logger.ts'
import { answerRollCall } from '../platform/roll-call.ts'
import { runService } from '../platform/run-service.ts'
import { aborted, isSupervised, stopSignal } from '../platform/shutdown.ts'
import { runProjector } from './projector.ts'

/** The comparison of a large table is one statement, and so is each of its indexes. */
const LONGEST_STATEMENT_MS = 600_000

await runService('projector', async () => {
  const config = parseConfig(process.env, ['NATS_URL', 'DATABASE_URL'])
  const logger = createLogger('projector', config)
  const signal = stopSignal(logger, { supervised: isSupervised(process.argv) })

  const broker = openBroker({ ...config.broker, url: config.broker.url ?? '' }, 'projector', logger)
  const self = { service: 'projector', id: randomUUID(), name: hostname(), host: hostname(), version: VERSION } as const
  answerRollCall(broker, () => self, signal)
  const open = (options: { mostSilenceMs?: number } = {}) =>
    openDatabase(config.databaseUrl ?? '', { max: 4, name: 'faafo projector', ...options })
  const database = open()
  const patient = open({ mostSilenceMs: LONGEST_STATEMENT_MS })
  try {
    await Promise.race([broker.ready, aborted(signal)]) // throws where the broker is too old for us
    const parts = { db: database.db, broker, log: createLog(broker), logger }
    await runProjector(parts, signal, { ...parts, db: patient.db })
  } finally {
    await broker.close()
    await Promise.all([database.close(), patient.close()])
  }
  process.exit(0) // a connection that is still being tried would keep us
})
