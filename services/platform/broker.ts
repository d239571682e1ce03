import process from 'node:process'
import { type ConnectionOptions, connect, type NatsConnection, NatsError, type Status } from 'nats'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { type Names, namesIn } from '../../events/subjects.ts'
import { type Config, withoutPassword } from './config.ts'
import type { Logger } from './logger.ts'
import { pause } from './shutdown.ts'
import { authenticatorOf } from './sign-in.ts'
import { ensureStreams } from './streams.ts'

/** Oldest nats-server whose answers the log's rules were tried against (Debian 12's). */
export const OLDEST_BROKER = '2.9.10'

/** How often a service says that it has never reached its broker, or that the broker refuses something. */
const SAY_AGAIN_MS = 5_000
const RECONNECT_MS = 250

/**
 * A connection that is opened in the background and reconnects for ever. While it is down `nc()` throws
 * `log-unavailable` at once, so that a request is answered in time and a service starts without its broker.
 */
export type Broker = {
  readonly names: Names
  /**
   * Resolves once connected and the streams exist. Rejects with `log-unsupported`, with `invalid-config` or
   * `log-unavailable` where the credentials are no good, and when closed before.
   */
  readonly ready: Promise<NatsConnection>
  /** Throws `log-unavailable` while there is no connection. */
  nc(): NatsConnection
  isConnected(): boolean
  /** Calls back after every reconnect; returns the unsubscribing function. */
  onReconnect(callback: () => void): () => void
  /** Sends what is buffered and closes. */
  close(): Promise<void>
}

export type BrokerUse = {
  /** For a command that only looks: no stream is made or changed, and `ready` waits for none. */
  readOnly?: boolean
  /** Called when the connection closed for good although nobody asked for it. Ends the process unless given. */
  onLost?: () => void
}

export function openBroker(
  config: Config['broker'] & { url: string },
  name: string,
  log: Logger,
  { readOnly = false, onLost = () => process.exit(1) }: BrokerUse = {},
): Broker {
  const names = namesIn(config.namespace)
  const reconnected = new Set<() => void>()
  let connection: NatsConnection | undefined
  let connected = false
  let closing = false

  const address = withoutPassword(config.url)

  const openStreams = async (nc: NatsConnection) => {
    if (readOnly) return
    await untilPossible(
      async () => ensureStreams(await nc.jetstreamManager({ checkAPI: false }), names, config.replicas),
      log,
      () => closing,
    )
  }

  const ready = (async () => {
    const nc = await firstConnection(connectionOptions(config, name, log), log, () => closing)
    if (closing) {
      await nc.close()
      throw stopping()
    }
    requireVersion(nc)
    connection = nc
    connected = true
    void watch(nc)
    void nc.closed().then((error) => {
      connected = false
      if (closing) return
      log.fatal({ broker: address, reason: error && messageOf(error) }, 'broker connection closed for good, ending')
      onLost()
    })
    await openStreams(nc)
    log.info({ broker: nc.getServer(), version: nc.info?.version }, 'broker connected')
    return nc
  })()
  ready.catch((error) => closing || log.error({ broker: address, reason: messageOf(error) }, 'broker refused'))

  async function watch(nc: NatsConnection) {
    const sayError = errorSayer(log)
    for await (const status of nc.status()) {
      if (status.type === 'error') sayError(status)
      else if (status.type === 'disconnect') {
        if (!connected) continue // a try to connect again has failed
        connected = false
        log.warn({ broker: status.data }, 'broker lost')
      } else if (status.type === 'reconnect') {
        connected = true
        log.info({ broker: status.data, version: nc.info?.version }, 'broker back')
        // A broker that came back with an empty store gets its stream; readers then see that the log was replaced.
        void openStreams(nc).catch(() => {})
        for (const callback of reconnected) callback()
      }
    }
  }

  return {
    names,
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

function connectionOptions(config: Config['broker'] & { url: string }, name: string, log: Logger): ConnectionOptions {
  const authenticator = authenticatorOf(config, log)
  return {
    servers: config.url.split(',').map((server) => server.trim().replace(/\/\/[^@/]*@/, '//')),
    name,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true, // else it gives up for good when it is refused twice, such as while keys are changed
    reconnectTimeWait: RECONNECT_MS,
    reconnectJitter: 100,
    timeout: 5_000,
    pingInterval: 5_000,
    maxPingOut: 2,
    noAsyncTraces: true, // else it takes a stack trace with every request, for an error that rarely comes
    ...(authenticator && { authenticator }),
    ...(config.tlsCa && { tls: { caFile: config.tlsCa } }),
  }
}

/** Tries until there is a connection. Throws `log-unavailable` where the broker does not let us in, and `aborted`. */
async function firstConnection(
  options: ConnectionOptions,
  log: Logger,
  isClosing: () => boolean,
): Promise<NatsConnection> {
  const broker = withoutPassword(String(options.servers))
  for (let saidAt = Date.now(); !isClosing(); await pause(RECONNECT_MS)) {
    try {
      return await connect(options)
    } catch (error) {
      const reason = messageOf(error)
      if (error instanceof NatsError && error.isAuthError()) {
        const hint = 'a name and password in NATS_URL, NATS_CREDS or NATS_NKEY_SEED says how to sign in'
        throw new FaafoError('log-unavailable', `cannot use the broker: it answers ${reason}; ${hint}`, {
          cause: error,
        })
      }
      if (Date.now() - saidAt < SAY_AGAIN_MS) continue
      saidAt = Date.now()
      log.warn({ broker, reason }, 'broker not reachable yet, trying on; NATS_URL says where it is')
    }
  }
  throw stopping()
}

const stopping = () => new FaafoError('aborted', 'cannot connect to the broker: the service is stopping')

/** Logs what the broker refuses: a sign-in, or a subject that we have no permission for. Each kind only now and then. */
function errorSayer(log: Logger): (status: Status) => void {
  const saidAt = new Map<unknown, number>()
  return ({ data: reason, permissionContext: context }) => {
    const now = Date.now()
    if (now - (saidAt.get(reason) ?? 0) < SAY_AGAIN_MS) return
    saidAt.set(reason, now)
    log.error({ reason, ...(context && { [context.operation]: context.subject }) }, 'broker refuses')
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
