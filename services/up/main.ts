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
import { createSupervisor, ownProgram, type Supervised, type Supervisor } from './supervisor.ts'

/*
 * Everything on one machine, each part a process of its own:
 *
 *   faafo up ─┬─ nats-server    unless NATS_URL is set
 *             ├─ database       unless DATABASE_URL is set
 *             ├─ projector, worker (WORKERS of them), api
 *
 * Parts that end are started again. They are stopped from the bottom of that list upwards, so that nothing loses
 * what it still needs.
 */

const STOP_SERVICES_MS = 6_000
const STOP_STORES_MS = 2_500
const READY_MS = 60_000

const say = (line: string) => process.stdout.write(`${line}\n`)

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
    const broker = await provideBroker(config, supervisor, stores, stopping)
    const database = await provideDatabase(config, supervisor, stores)
    if (config.broker.url === undefined) await untilListening(broker.url, stopping)
    if (config.databaseUrl === undefined) await untilListening(database.url, stopping)
    const apiUrl = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`
    const write = () =>
      writeRuntime(config.dataDir, {
        natsUrl: broker.url,
        databaseUrl: database.url,
        apiUrl,
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
    const services = [
      supervisor.run({ name: 'projector', env, ...ownProgram('../projector/main', import.meta.url) }),
      ...Array.from({ length: config.workers }, (_, i) => {
        const name = config.workers === 1 ? config.workerName : `${config.workerName}-${i + 1}`
        const own = ownProgram('../worker/main', import.meta.url)
        return supervisor.run({ name: `worker ${name}`, env: { ...env, WORKER_NAME: name }, ...own })
      }),
      supervisor.run({ name: 'api', env, ...ownProgram('../api/main', import.meta.url) }),
    ]
    try {
      if (await untilReady(apiUrl, stopping)) {
        say(`Fractals ${VERSION} is ready.`)
        say(`  web and REST  ${apiUrl}/  (reference: ${apiUrl}/docs)`)
        say(`  broker        ${broker.text}`)
        say(`  database      ${database.text}`)
        say(`  images        ${config.storageUrl}`)
        say(`  data folder   ${config.dataDir}`)
        say(`  workers       ${config.workers}`)
        say('Stop with Ctrl-C. Try, in another terminal: npx faafo create --tasks 3 --wait')
      } else if (!stopping.aborted) {
        logger.error({ api: apiUrl }, `not ready after ${READY_MS / 1000} s; the log lines above say why; still trying`)
      }
      await aborted(stopping)
    } finally {
      await Promise.all(services.map((service) => service.stop(STOP_SERVICES_MS)))
      await Promise.all(stores.map((store) => store.stop(STOP_STORES_MS)))
      await removeRuntime(config.dataDir)
    }
  } finally {
    await held.release()
  }
  say('Stopped.')
  process.exit(0)
})

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

/** Whether the api answered, within READY_MS, that it can append, and a query that it can read. */
async function untilReady(apiUrl: string, signal: AbortSignal): Promise<boolean> {
  const deadline = Date.now() + READY_MS
  while (!signal.aborted && Date.now() < deadline) {
    if ((await isAnswered(`${apiUrl}/readyz`)) && (await isAnswered(`${apiUrl}/v1/fractal?results_per_page=1`)))
      return true
    await pause(50, signal)
  }
  return false
}

async function isAnswered(url: string): Promise<boolean> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => null)
  await answer?.body?.cancel()
  return answer?.ok ?? false
}
