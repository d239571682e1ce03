import { connect, type JetStreamManager } from 'nats'
import { v4 } from 'uuid'
import type { FractalEvent, NewEvent } from '../../events/events.ts'
import { type Broker, openBroker } from '../../services/platform/broker.ts'
import { identify } from '../../services/platform/identity.ts'
import { createLog, type Log } from '../../services/platform/log.ts'
import { createLogger, type Logger } from '../../services/platform/logger.ts'
import { type Broker as BrokerServer, withBroker } from '../support/broker.ts'
import { params, sha256 } from '../support/legal-history.ts'
import { brokerConfigOf } from '../support/read-model.ts'

export type LogParts = { server: BrokerServer; broker: Broker; log: Log; logger: Logger }

/** Gives `use` a log on a broker of its own, empty. */
export const withLog = (use: (parts: LogParts) => Promise<void>): Promise<void> =>
  withBroker(async (server) => {
    const logger = createLogger('test', { logLevel: 'silent' })
    const broker = openBroker(brokerConfigOf(server.url), 'test', logger)
    try {
      await broker.ready
      await use({ server, broker, log: createLog(broker), logger })
    } finally {
      await broker.close()
    }
  })

/** Gives `use` the broker's own administration, for what the application never does. */
export async function withAdministration(url: string, use: (jsm: JetStreamManager) => Promise<void>): Promise<void> {
  const nc = await connect({ servers: url })
  try {
    await use(await nc.jetstreamManager())
  } finally {
    await nc.close()
  }
}

export const identified = (event: NewEvent): FractalEvent => identify(event, '/test')

export const requested = (fractal = v4()): FractalEvent =>
  identified({
    type: 'TaskRequested',
    fractal,
    data: { generation: 1, cause: 'created', params, chosen: ['cx', 'cy'], requestHash: sha256 },
  })
