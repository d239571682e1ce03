import { readFileSync } from 'node:fs'
import {
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  type NatsConnection,
  NatsError,
  nkeyAuthenticator,
  StorageType,
} from 'nats'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { type Names, namesIn } from '../../events/subjects.ts'
import { type Config, withoutPassword } from './config.ts'
import type { Logger } from './logger.ts'

/** Oldest nats-server whose answers the log's rules were tried against (Debian 12's). */
export const OLDEST_BROKER = '2.9.10'

/** How often a service that has never reached its broker says so. */
const NOT_YET_MS = 5_000

/**
 * A connection that is opened in the background and reconnects for ever. While it is down `nc()` throws
 * `log-unavailable` at once, so that a request is answered in time and a service starts without its broker.
 */
export type Broker = {
  readonly names: Names
  readonly replicas: number
  /** Resolves once connected and the stream exists; rejects with `log-unsupported` or when closed before. */
  readonly ready: Promise<NatsConnection>
  /** Throws `log-unavailable` while there is no connection. */
  nc(): NatsConnection
  isConnected(): boolean
  /** Calls back after every reconnect; returns the unsubscribing function. */
  onReconnect(callback: () => void): () => void
  /** Sends what is buffered and closes. */
  close(): Promise<void>
}

export function openBroker(config: Config['broker'] & { url: string }, name: string, log: Logger): Broker {
  const names = namesIn(config.namespace)
  const reconnected = new Set<() => void>()
  let connection: NatsConnection | undefined
  let connected = false
  let closing = false

  const address = withoutPassword(config.url)
  const waiting = setInterval(() => {
    log.warn({ broker: address }, 'broker not reachable yet, trying on; NATS_URL says where it is')
  }, NOT_YET_MS).unref()

  const openStream = (nc: NatsConnection) =>
    untilPossible(
      () => ensureStream(nc, names, config.replicas),
      log,
      () => closing,
    )

  const ready = (async () => {
    const nc = await connect(connectionOptions(config, name)).finally(() => clearInterval(waiting))
    if (closing) {
      await nc.close()
      throw new FaafoError('aborted', 'cannot connect to the broker: the service is stopping')
    }
    requireVersion(nc)
    connection = nc
    connected = true
    void watch(nc)
    await openStream(nc)
    log.info({ broker: nc.getServer(), version: nc.info?.version }, 'broker connected')
    return nc
  })()
  ready.catch((error) => closing || log.error({ broker: address, reason: messageOf(error) }, 'broker refused'))

  async function watch(nc: NatsConnection) {
    for await (const status of nc.status()) {
      if (status.type === 'disconnect') {
        connected = false
        log.warn({ broker: status.data }, 'broker lost')
      } else if (status.type === 'reconnect') {
        connected = true
        log.info({ broker: status.data, version: nc.info?.version }, 'broker back')
        // A broker that came back with an empty store gets its stream; readers then see that the log was replaced.
        void openStream(nc).catch(() => {})
        for (const callback of reconnected) callback()
      }
    }
  }

  return {
    names,
    replicas: config.replicas,
    ready,
    isConnected: () => connected,
    nc() {
      if (connection && connected && !connection.isClosed()) return connection
      throw new FaafoError('log-unavailable', 'cannot reach the log: there is no connection to the broker')
    },
    onReconnect(callback) {
      reconnected.add(callback)
      return () => reconnected.delete(callback)
    },
    async close() {
      closing = true
      if (!connection || connection.isClosed()) return
      if (connected) await Promise.race([connection.drain(), connection.closed()]).catch(() => {})
      else await connection.close()
    },
  }
}

function connectionOptions(config: Config['broker'] & { url: string }, name: string): ConnectionOptions {
  const authenticator = config.creds
    ? credsAuthenticator(readFileSync(config.creds))
    : config.nkeySeed
      ? nkeyAuthenticator(new TextEncoder().encode(config.nkeySeed))
      : undefined
  return {
    servers: config.url.split(',').map((server) => server.trim()),
    name,
    maxReconnectAttempts: -1,
    waitOnFirstConnect: true,
    reconnectTimeWait: 250,
    reconnectJitter: 100,
    timeout: 5_000,
    pingInterval: 5_000,
    maxPingOut: 2,
    noAsyncTraces: true, // else it takes a stack trace with every request, for an error that rarely comes
    ...(authenticator && { authenticator }),
    ...(config.tlsCa && { tls: { caFile: config.tlsCa } }),
  }
}

function requireVersion(nc: NatsConnection) {
  const version = nc.info?.version ?? '0.0.0'
  if (!isAtLeast(version, OLDEST_BROKER)) {
    throw new FaafoError(
      'log-unsupported',
      `cannot use the broker: it is ${version}, ${OLDEST_BROKER} or newer is needed`,
    )
  }
  if (!nc.info?.jetstream) {
    throw new FaafoError('log-unsupported', 'cannot use the broker: it runs without JetStream (nats-server -js)')
  }
}

/** Compares dotted versions, pre-release parts apart. */
export function isAtLeast(version: string, oldest: string): boolean {
  const parts = (text: string) => text.split('-')[0]?.split('.').map(Number) ?? []
  const [have, want] = [parts(version), parts(oldest)]
  for (let i = 0; i < want.length; i++) {
    const difference = (have[i] ?? 0) - (want[i] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return true
}

/** Makes the stream where it is missing; several services may do so at once. Replicas are brought to the asked number. */
async function ensureStream(nc: NatsConnection, names: Names, replicas: number): Promise<void> {
  const jsm = await nc.jetstreamManager({ checkAPI: false })
  const existing = await jsm.streams.info(names.stream).catch((error) => {
    if (error instanceof NatsError && error.api_error?.err_code === 10059) return null
    throw error
  })
  if (existing) {
    if (existing.config.num_replicas !== replicas) await jsm.streams.update(names.stream, { num_replicas: replicas })
    return
  }
  await jsm.streams.add({
    name: names.stream,
    subjects: names.streamSubjects,
    storage: StorageType.File,
    num_replicas: replicas,
    deny_delete: true,
    deny_purge: true,
    allow_direct: true,
  })
}

async function untilPossible(action: () => Promise<void>, log: Logger, isClosing: () => boolean): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await action()
    } catch (error) {
      if (isClosing()) throw error
      if (tries % 20 === 0) log.warn({ reason: messageOf(error) }, 'stream not there yet')
      await new Promise((done) => setTimeout(done, 250))
    }
  }
}
