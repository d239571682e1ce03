import { type Broker, openBroker } from '../../services/platform/broker.ts'
import { type Db, openDatabase } from '../../services/platform/database.ts'
import { createLog, type Log } from '../../services/platform/log.ts'
import { createLogger, type Logger } from '../../services/platform/logger.ts'

/** The log and the table of a running system, as a test's own connections to them. */
export async function withReadModel(
  { natsUrl, databaseUrl }: { natsUrl: string; databaseUrl: string },
  use: (parts: { broker: Broker; log: Log; db: Db; logger: Logger }) => Promise<void>,
): Promise<void> {
  const logger = createLogger('test', { logLevel: 'error', logFormat: 'json' })
  const broker = openBroker(brokerConfigOf(natsUrl), 'test', logger)
  const database = openDatabase(databaseUrl, { max: 4, name: 'test' })
  try {
    await broker.ready
    await use({ broker, log: createLog(broker), db: database.db, logger })
  } finally {
    await broker.close()
    await database.close()
  }
}

/** Broker configuration of a test, all defaults apart from the address. */
export const brokerConfigOf = (url: string, namespace = '') => ({
  url,
  creds: undefined,
  nkeySeed: undefined,
  tlsCa: undefined,
  program: undefined,
  downloadUrl: undefined,
  syncInterval: undefined,
  replicas: undefined,
  namespace,
})
