import { join } from 'node:path'
import { connect } from 'nats'
import { freePort } from '../../services/platform/ports.ts'
import { type Broker, startBroker } from './broker.ts'
import { withTempDir } from './temp.ts'
import { until } from './until.ts'

/** Gives `use` three nats-servers that form a cluster with JetStream, and ends them afterwards however `use` ended. */
export const withCluster = <T>(use: (brokers: Broker[]) => Promise<T>): Promise<T> =>
  withTempDir(async (dir) => {
    const ports = await Promise.all([freePort(), freePort(), freePort()])
    const routes = ports.map((port) => `"nats://127.0.0.1:${port}"`).join(', ')
    const started = await Promise.allSettled(
      ports.map((port, i) =>
        startBroker(join(dir, String(i)), {
          config: `server_name: n${i}\ncluster { name: test, listen: "127.0.0.1:${port}", routes: [${routes}] }`,
        }),
      ),
    )
    const brokers = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
    try {
      for (const each of started) if (each.status === 'rejected') throw each.reason
      const nc = await connect({ servers: brokers.map(({ url }) => url) })
      try {
        const jsm = await nc.jetstreamManager({ checkAPI: false })
        // All three are known to the leader: a stream of three replicas can be made.
        const config = { name: 'READY', subjects: ['ready'], num_replicas: 3 }
        await until(() => jsm.streams.add(config).then(Boolean, () => false), { what: 'the cluster is ready' })
        await jsm.streams.delete('READY')
      } finally {
        await nc.close()
      }
      return await use(brokers)
    } finally {
      await Promise.all(brokers.map((broker) => broker.stop()))
    }
  })
