import { availableParallelism } from 'node:os'
import process from 'node:process'
import { FaafoError } from '../../events/errors.ts'
import { openBroker } from '../platform/broker.ts'
import { parseConfig } from '../platform/config.ts'
import { createLog } from '../platform/log.ts'
import { createLogger } from '../platform/logger.ts'
import { runService } from '../platform/run-service.ts'
import { aborted, isSupervised, stopSignal } from '../platform/shutdown.ts'
import { renderQueue } from '../platform/work-queue.ts'
import { openStore } from '../storage/open-store.ts'
import { createRenderPool } from './render-pool.ts'
import { runWorker } from './worker.ts'

await runService('worker', async () => {
  const config = parseConfig(process.env, ['NATS_URL'])
  const { url } = config.broker
  if (url === undefined) throw new FaafoError('invalid-config', 'cannot start: NATS_URL is not set')
  const logger = createLogger('worker', config)
  const stop = stopSignal(logger, { supervised: isSupervised(process.argv) })
  const broker = openBroker({ ...config.broker, url }, `worker ${config.workerName}`, logger)
  const images = openStore(config.storageUrl, {
    nats: () => broker.nc(),
    replicas: config.broker.replicas,
    bucketName: broker.names.bucket,
  })
  const threads = config.renderThreads ?? availableParallelism()
  const pool = createRenderPool(threads)
  await Promise.race([broker.ready, aborted(stop)])
  await runWorker(
    {
      broker,
      log: createLog(broker),
      queue: renderQueue(broker, logger),
      images,
      render: pool.render,
      threads,
      name: config.workerName,
      logger,
    },
    stop,
  )
  await pool.close()
  await broker.close()
  process.exit(0)
})
