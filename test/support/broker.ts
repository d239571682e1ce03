import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import process from 'node:process'
import { freePort } from '../../services/platform/ports.ts'
import { type BrokerProgram, findBroker } from '../../services/up/broker-program.ts'
import { brokerCommand, brokerConfig } from '../../services/up/embedded-broker.ts'
import { cacheDir } from './cache-dir.ts'
import { type Child, startChild } from './child.ts'
import { withTempDir } from './temp.ts'
import { until } from './until.ts'

let found: Promise<BrokerProgram> | undefined

/** NATS_SERVER_BIN, or what `faafo up` would find; what has to be fetched is kept in the user's cache folder. */
export const foundBroker = (): Promise<BrokerProgram> => {
  found ??= findBroker({
    explicit: process.env.NATS_SERVER_BIN || undefined,
    path: (process.env.PATH ?? '').split(delimiter),
    cacheDir: cacheDir(),
  })
  return found
}

/** The path of a nats-server program. */
export const brokerProgram = async (): Promise<string> => (await foundBroker()).program

export type Broker = {
  url: string
  port: number
  program: string
  version: string
  storeDir: string
  pid(): number
  /** What the running server logged. */
  output(): string
  /** kill -9 */
  kill(): Promise<void>
  /** Starts it again on the same port and store, after `kill` or `stop` (or stops it first). */
  restart(): Promise<void>
  stop(): Promise<void>
}

export type BrokerOptions = {
  /** In place of the one that is found. */
  program?: { program: string; version: string }
  port?: number
  /** As nats-server writes it; `2m`, its default, makes tests quick. Versions before 2.10 do not know it. */
  syncInterval?: string
  /** Further lines of the configuration file. */
  config?: string
}

/** Starts a nats-server with JetStream in `dir`, on a free port; `withBroker` also ends it. */
export async function startBroker(dir: string, options: BrokerOptions = {}): Promise<Broker> {
  const { program, version } = options.program ?? (await foundBroker())
  const port = options.port ?? (await freePort())
  const storeDir = join(dir, 'nats')
  const configPath = join(storeDir, 'nats-server.conf')
  const files = { storeDir, pidFile: join(storeDir, 'nats-server.pid') }
  await mkdir(storeDir, { recursive: true })
  const own = brokerConfig({ version, port, ...files, syncInterval: options.syncInterval ?? '2m' })
  await writeFile(configPath, `${own}${options.config ?? ''}\n`)
  const { command, args } = brokerCommand(program, configPath)

  const start = async (): Promise<Child> => {
    const child = await startChild(command, args)
    await until(
      () => {
        if (child.ended()) throw new Error(`nats-server ended:\n${child.output()}`)
        return greets(port)
      },
      { what: () => `nats-server answers on ${port}:\n${child.output()}` },
    )
    return child
  }
  let child = await start()
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    program,
    version,
    storeDir,
    pid: () => child.pid,
    output: () => child.output(),
    kill: () => child.end('SIGKILL'),
    stop: () => (child.ended() ? Promise.resolve() : child.end('SIGTERM')),
    async restart() {
      if (!child.ended()) await child.end('SIGTERM')
      child = await start()
    },
  }
}

/** Gives `use` a nats-server of its own on an empty store, and ends it afterwards however `use` ended. */
export const withBroker = <T>(use: (broker: Broker) => Promise<T>, options: BrokerOptions = {}): Promise<T> =>
  withTempDir(async (dir) => {
    const broker = await startBroker(dir, options)
    try {
      return await use(broker)
    } finally {
      await broker.stop()
    }
  })

/** Changes the configuration file of a running broker and lets it read that; it may take a moment. */
export async function reconfigure({ storeDir, pid }: Broker, from: string, to: string): Promise<void> {
  const path = join(storeDir, 'nats-server.conf')
  await writeFile(path, (await readFile(path, 'utf8')).replace(from, to))
  process.kill(pid(), 'SIGHUP')
}

/** Whether a NATS server says INFO there; it does so only once JetStream has read its store. */
const greets = (port: number): Promise<boolean> =>
  new Promise((done) => {
    const socket = connect(port, '127.0.0.1')
    const answer = (yes: boolean) => {
      socket.destroy()
      done(yes)
    }
    socket.once('data', (data) => answer(data.toString().startsWith('INFO ')))
    socket.once('error', () => answer(false))
    socket.once('close', () => answer(false))
  })
