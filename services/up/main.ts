import { mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import process from 'node:process'
import { FaafoError } from '../../events/errors.ts'
import { type Config, isLoopback, parseConfig, withoutPassword } from '../platform/config.ts'
import { VERSION } from '../platform/identity.ts'
import { createLogger } from '../platform/logger.ts'
import { freePort, requirePort } from '../platform/ports.ts'
import { runService } from '../platform/run-service.ts'
import { aborted, isSupervised, pause, stopSignal } from '../platform/shutdown.ts'
import { findBroker } from './broker-program.ts'
import { holdDataDir, removeRuntime, writeRuntime } from './data-dir.ts'
import { brokerCommand, brokerConfig, brokerDurability, endStaleBroker } from './embedded-broker.ts'
import { untilReady } from './readiness.ts'
import { createSupervisor, ownProgram, type Supervised, type Supervisor } from './supervisor.ts'

/*
 * Everything on one machine, each part a process of its own:
 *
 *   faafo up ─┬─ nats-server    unless NATS_URL is set
 *             ├─ database       unless DATABASE_URL is set
 *             ├─ projector, operator, subscribers, worker (WORKERS of them), api
 *
 * Parts that end are started again. They are stopped from the bottom of that list upwards, so that nothing loses
 * what it still needs.
 */

/** For all of a stop, of which the services have the smaller part and what they need the rest. */
const STOP_MS = 8_500
const STOP_SERVICES_MS = 6_000
/** How often a start that takes its time says what it waits for. */
const TELL_MS = 5_000

const say = (text: string) => process.stdout.write(`${text}\n`)

await runService('up', async () => {
  const config = parseConfig(process.env)
  if (!isLoopback(config.host) && !config.authOff) {
    throw new FaafoError(
      'invalid-config',
      `cannot serve on HOST=${config.host}: anyone who reaches it could use this installation; set HOST=127.0.0.1, or AUTH=off to say that this is meant`,
    )
  }
  const logger = createLogger('up', config)
  const stopping = stopSignal(logger, { supervised: isSupervised(process.argv) })
  const held = await holdDataDir(config.dataDir, { what: 'faafo up' })
  try {
    await requirePort(config.host, config.port)
    const port = config.port === 0 ? await freePort() : config.port
    let record = async () => {}
    const supervisor = createSupervisor(logger, () => {
      record().catch((error) => logger.warn({ err: error }, 'runtime.json not written'))
    })
    const stores: Supervised[] = []
    const services: Supervised[] = []
    try {
      const [broker, database] = await Promise.all([
        provideBroker(config, supervisor, stores, stopping),
        provideDatabase(config, supervisor, stores),
      ])
      if (config.broker.url === undefined) await untilListening(broker.url, stopping)
      const apiUrl = `http://${addressOf(config.host)}:${port}`
      const write = () =>
        writeRuntime(config.dataDir, {
          natsUrl: broker.url,
          databaseUrl: database.url,
          apiUrl,
          storageUrl: config.storageUrl,
          syncInterval: broker.syncInterval,
          processes: supervisor.running.flatMap(({ name, pid }) => (pid === undefined ? [] : [{ name, pid }])),
        })
      // One after the other, so that the last one written is the newest.
      let written = Promise.resolve()
      record = () => {
        written = written.then(write, write)
        return written
      }
      const env = {
        ...process.env,
        NATS_URL: broker.url,
        NATS_SYNC_INTERVAL: broker.syncInterval,
        DATABASE_URL: database.url,
        STORAGE_URL: config.storageUrl,
        DATA_DIR: config.dataDir,
        PORT: String(port),
      }
      const run = (name: string, entry: string, more: Record<string, string> = {}) =>
        services.push(supervisor.run({ name, env: { ...env, ...more }, ...ownProgram(entry, import.meta.url) }))
      // Those that need no database to begin with load while it opens.
      for (let i = 1; i <= config.workers; i++) {
        const name = config.workers === 1 ? config.workerName : `${config.workerName}-${i}`
        run(`worker ${name}`, '../worker/main', { WORKER_NAME: name })
      }
      run('api', '../api/main')
      run('subscribers', '../subscribers/main')
      if (config.databaseUrl === undefined) await untilListening(database.url, stopping)
      run('projector', '../projector/main')
      run('operator', '../operator/main')

      const onWait = (reasons: string) => say(`Not ready yet, waiting on: ${reasons}`)
      const readiness = await untilReady(apiUrl, { signal: stopping, everyMs: TELL_MS, onWait })
      if (readiness) {
        const { lag } = readiness
        const behind = lag === 0 ? '' : `; still ${lag ?? 'some'} events behind the log`
        // At one stroke: whoever waits for its first line has all of it.
        say(`Fractals ${VERSION} is ready.
  web and REST  ${apiUrl}/  (reference: ${apiUrl}/docs)
  broker        ${broker.text}
  database      ${database.text}${behind}
  images        ${config.storageUrl}
  data folder   ${config.dataDir}
  workers       ${config.workers}
Stop with Ctrl-C. Try, in another terminal: npx faafo create --tasks 3 --wait`)
      }
      await aborted(stopping)
    } catch (error) {
      if (!stopping.aborted) throw error // else it is what the stop interrupted, a download perhaps
    } finally {
      const begun = Date.now()
      await Promise.all(services.map((service) => service.stop(STOP_SERVICES_MS)))
      const left = STOP_MS - (Date.now() - begun)
      await Promise.all(stores.map((store) => store.stop(left)))
      await removeRuntime(config.dataDir)
    }
  } finally {
    await held.release()
  }
  say('Stopped.')
  process.exit(0)
})

/** The name by which this machine reaches a server that listens on `host`. */
function addressOf(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost'
  return host.includes(':') ? `[${host}]` : host
}

type Provided = { url: string; text: string }

/** The broker of NATS_URL, or one of our own on a loopback port with its store in the data folder. */
async function provideBroker(
  config: Config,
  supervisor: Supervisor,
  stores: Supervised[],
  signal: AbortSignal,
): Promise<Provided & { syncInterval: string | undefined }> {
  const { url, syncInterval } = config.broker
  if (url !== undefined) return { url, syncInterval, text: withoutPassword(url) }
  const found = await findBroker({
    explicit: config.broker.program,
    path: (process.env.PATH ?? '').split(delimiter),
    cacheDir: join(config.dataDir, 'cache'),
    downloadUrl: config.broker.downloadUrl,
    signal,
    report: say,
  })
  const folder = join(config.dataDir, 'nats')
  const files = { storeDir: folder, pidFile: join(folder, 'nats-server.pid') }
  const configPath = join(folder, 'nats-server.conf')
  await mkdir(folder, { recursive: true })
  await endStaleBroker(files.pidFile, configPath)
  const port = await freePort()
  await writeFile(configPath, brokerConfig({ version: found.version, port, ...files, syncInterval }))
  stores.push(supervisor.run({ name: 'broker', quiet: true, ...brokerCommand(found.program, configPath) }))
  const durability = brokerDurability(found.version, syncInterval)
  const ownUrl = `nats://127.0.0.1:${port}`
  const text = `nats-server ${found.version} (${found.origin}) at ${ownUrl}; ${durability.text}`
  return { url: ownUrl, text, syncInterval: durability.syncInterval }
}

/** The database of DATABASE_URL, or the embedded one on a loopback port with its files in the data folder. */
async function provideDatabase(config: Config, supervisor: Supervisor, stores: Supervised[]): Promise<Provided> {
  if (config.databaseUrl !== undefined) return { url: config.databaseUrl, text: withoutPassword(config.databaseUrl) }
  const port = await freePort()
  const own = ownProgram('./database-main', import.meta.url)
  const args = [...own.args, '--data-dir', config.dataDir, '--port', String(port)]
  stores.push(supervisor.run({ name: 'database', command: own.command, args }))
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  return { url, text: `embedded PostgreSQL (PGlite) at ${url}` }
}

/** Resolves once something listens at an address of this machine, so that services find there what they need. */
async function untilListening(url: string, signal: AbortSignal): Promise<void> {
  const { hostname, port } = new URL(url)
  while (!signal.aborted && !(await isListening(hostname, Number(port)))) await pause(20, signal)
}

function isListening(host: string, port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, host)
    socket.once('error', () => done(false))
    socket.once('connect', () => {
      socket.destroy()
      done(true)
    })
  })
}
