import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { sendSignal } from '../../services/up/supervisor.ts'
import { brokerProgram } from './broker.ts'
import { copyEmptyPglite } from './database.ts'
import { launcher, root, unoptimized } from './project.ts'
import { withTempDir } from './temp.ts'
import { until } from './until.ts'

export type System = {
  apiUrl: string
  natsUrl: string
  databaseUrl: string
  dataDir: string
  /** Everything that `faafo up` wrote to stdout and stderr so far. */
  output(): string
  /** Pids of what runs now, by the start of its name: 'worker', 'api', 'projector', 'operator', 'broker', 'database', or '' for all. */
  pids(name: string): Promise<number[]>
  /** Sends SIGINT to `faafo up` and resolves to its exit code and the milliseconds that it took. */
  stop(): Promise<{ code: number | null; ms: number }>
  /** `faafo up` itself. */
  pid: number
}

export type SystemOptions = {
  env?: Record<string, string>
  dataDir?: string
  port?: number
  /** Lets it optimize its WebAssembly, as it does for its users: for what is timed. */
  optimized?: boolean
}

/**
 * Starts `faafo up` as its users do, from `dist` (on Deno from the sources), and ends it afterwards however `use`
 * ended. `dataDir` may be empty; where none is given, an empty database is in it already, which saves seconds.
 */
export const withSystem = (use: (system: System) => Promise<void>, options: SystemOptions = {}): Promise<void> =>
  options.dataDir === undefined
    ? withTempDir(async (dataDir) => {
        await copyEmptyPglite(join(dataDir, 'database'))
        await runSystem(dataDir, use, options)
      })
    : runSystem(options.dataDir, use, options)

async function runSystem(dataDir: string, use: (system: System) => Promise<void>, options: SystemOptions) {
  const program = 'Deno' in globalThis ? ['run', '-A', join(root, 'services', 'cli', 'main.ts')] : [launcher]
  const flags = options.optimized ? [] : unoptimized
  const child = spawn(process.execPath, [...flags, ...program, 'up'], {
    env: {
      ...process.env,
      NATS_SERVER_BIN: await brokerProgram(),
      DATA_DIR: dataDir,
      PORT: String(options.port ?? 0),
      ...options.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const chunks: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => chunks.push(text))
  const output = () => chunks.join('')
  const runtime = async () => JSON.parse(await readFile(join(dataDir, 'runtime.json'), 'utf8'))
  try {
    await until(
      () => {
        if (child.exitCode !== null) throw new Error(`faafo up ended with ${child.exitCode}:\n${output()}`)
        return output().includes('is ready.')
      },
      { what: () => `faafo up is ready:\n${output()}`, withinMs: 90_000 },
    )
    const { natsUrl, databaseUrl, apiUrl } = await runtime()
    await use({
      apiUrl,
      natsUrl,
      databaseUrl,
      dataDir,
      output,
      pid: child.pid ?? 0,
      async pids(name) {
        const { processes } = (await runtime()) as { processes: { name: string; pid: number }[] }
        return processes.filter((p) => p.name.startsWith(name)).map((p) => p.pid)
      },
      async stop() {
        const startedAt = performance.now()
        const code = await end(child)
        return { code, ms: performance.now() - startedAt }
      },
    })
  } finally {
    await end(child)
  }
}

/** SIGINT, and SIGKILL to whatever a minute later is still there. */
function end(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode)
  return new Promise((done) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000)
    child.once('exit', (code) => {
      clearTimeout(timer)
      done(code)
    })
    sendSignal(child, 'SIGINT')
  })
}
