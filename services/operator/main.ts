import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import process from 'node:process'
import { openBroker } from '../platform/broker.ts'
import { parseConfig } from '../platform/config.ts'
import { openDatabase } from '../platform/database.ts'
import { VERSION } from '../platform/identity.ts'
import { createLog } from '../platform/log.ts'
import { createLogger } from '../platform/logger.ts'
import { operationQueue, operationsOf } from '../platform/operations.ts'
import { answerRollCall } from '../platform/roll-call.ts'
import { runService } from '../platform/run-service.ts'
import { aborted, isSupervised, stopSignal } from '../platform/shutdown.ts'
import { runOperator } from './operator.ts'

await runService('operator', async () => {
  const config = parseConfig(process.env, ['NATS_URL', 'DATABASE_URL'])
  const logger = createLogger('operator', config)
  const signal = stopSignal(logger, { supervised: isSupervised(process.argv) })

  const broker = openBroker({ ...config.broker, url: config.broker.url ?? '' }, 'operator', logger)
  const self = { service: 'operator', id: randomUUID(), name: hostname(), host: hostname(), version: VERSION } as const
  answerRollCall(broker, () => self, signal)
  const database = openDatabase(config.databaseUrl ?? '', { max: 4, name: 'faafo operator' })
  try {
    await Promise.race([broker.ready, aborted(signal)]) // throws where the broker is too old for us
    const parts = {
      broker,
      log: createLog(broker),
      operations: operationsOf(broker),
      queue: operationQueue(broker, logger),
      db: database.db,
      logger,
      source: `/operator/${hostname()}`,
    }
    await runOperator(parts, signal)
  } finally {
    await broker.close()
    await database.close()
  }
  process.exit(0) // a connection that is still being tried would keep us
})
