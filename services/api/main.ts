import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import { hostname } from 'node:os'
import process from 'node:process'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { openBroker } from '../platform/broker.ts'
import { isLoopback, parseConfig } from '../platform/config.ts'
import { openDatabase } from '../platform/database.ts'
import { VERSION } from '../platform/identity.ts'
import { createLog } from '../platform/log.ts'
import { createLogger } from '../platform/logger.ts'
import { migrateDatabase } from '../platform/migrate.ts'
import { listenError } from '../platform/ports.ts'
import { answerRollCall } from '../platform/roll-call.ts'
import { runService } from '../platform/run-service.ts'
import { aborted, isSupervised, pause, stopSignal } from '../platform/shutdown.ts'
import { openStore } from '../storage/open-store.ts'
import { createApi } from './app.ts'
import { followLive } from './live.ts'
import { createMetrics } from './metrics.ts'
import { createServer } from './server.ts'

/** Requests in hand have this long to finish once the api is told to stop. */
const GRACE_MS = 3_000

await runService('api', async () => {
  const config = parseConfig(process.env, ['NATS_URL', 'DATABASE_URL'])
  const { host, port, broker: brokerConfig } = config
  if (!isLoopback(host) && !config.authOff) {
    throw new FaafoError(
      'invalid-config',
      `cannot serve on HOST=${host}: anyone who reaches it could use this installation; set HOST=127.0.0.1, or AUTH=off to say that this is meant`,
    )
  }
  const logger = createLogger('api', config)
  const stop = stopSignal(logger, { supervised: isSupervised(process.argv) })

  const broker = openBroker({ ...brokerConfig, url: brokerConfig.url ?? '' }, 'api', logger)
  const self = { service: 'api', id: randomUUID(), name: hostname(), host: hostname(), version: VERSION } as const
  answerRollCall(broker, () => self, stop)
  const database = openDatabase(config.databaseUrl ?? '', { max: 10, name: 'faafo api' })
  const app = createApi({
    broker,
    log: createLog(broker),
    db: database.db,
    images: openStore(config.storageUrl, {
      nats: () => broker.nc(),
      replicas: brokerConfig.replicas,
      bucketName: broker.names.bucket,
    }),
    live: followLive(broker),
    metrics: createMetrics({ ofProcess: true }),
    logger,
    source: `/api/${hostname()}`,
    host,
    computeBudget: config.computeBudget,
    syncInterval: brokerConfig.syncInterval,
    stopping: stop,
    random: Math.random,
  })

  const server = createServer(app)
  await listen(server)
  void migrate()
  await Promise.race([refusal(), aborted(stop)])

  server.closeIdleConnections()
  const closed = new Promise<void>((done) => server.close(() => done()))
  await Promise.race([closed, pause(GRACE_MS)])
  server.closeAllConnections()
  await broker.close()
  await database.close()
  process.exit(0) // a connection that is still being tried would keep us

  async function listen(server: Server): Promise<void> {
    await new Promise<void>((done, refuse) => {
      server.once('error', (error) => refuse(listenError(host, port, error)))
      server.listen(port, host, done)
    })
    const address = server.address()
    const bound = typeof address === 'object' && address ? address.port : port
    logger.info({ url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}` }, 'api listening')
  }

  /** In the background, so that writes go on while the database is away. */
  async function migrate(): Promise<void> {
    for (let tries = 0; !stop.aborted; tries++) {
      try {
        return await migrateDatabase(database.db)
      } catch (error) {
        if (tries % 20 === 5) logger.warn({ reason: messageOf(error) }, 'database not ready yet') // as a rule it is about to open
        await pause(500, stop)
      }
    }
  }

  /** Settles only where the broker cannot be used at all. */
  async function refusal(): Promise<void> {
    await broker.ready
    await aborted(stop)
  }
})
