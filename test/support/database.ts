import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chownSync, cpSync, existsSync, readdirSync } from 'node:fs'
import { chmod, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { freePort } from '../../services/platform/ports.ts'
import { openDatabase } from '../../services/up/embedded-database.ts'
import { cacheDir } from './cache-dir.ts'
import { type Child, startChild } from './child.ts'
import { type PostgresPrograms, postgresPrograms } from './postgres-program.ts'
import { ourFile, ourFlags, root, unoptimized } from './project.ts'
import { tempDir, withTempDir } from './temp.ts'
import { until } from './until.ts'

const run = promisify(execFile)

export type Database = {
  /** `postgres://…` of a database that holds nothing yet */
  url: string
  port: number
  pid(): number
  output(): string
  ended(): boolean
  exitCode(): number | null
  /** What the end of its parent looks like to the server. */
  closeInput(): void
  /** kill -9 of the server */
  kill(): Promise<void>
  /** Starts the server again on the same port and folder, after `kill` or `stop` (or stops it first). */
  restart(): Promise<void>
  stop(): Promise<void>
}

type PostgresServer = Database & {
  /** Makes an empty database on this server and gives its URL. */
  newDatabase(): Promise<string>
  /** Does not keep this process from ending. */
  unref(): void
}

export type PostgresOptions = {
  /** false, the default: nothing is flushed to the disk. kill -9 is survived either way, a power cut is not. */
  fsync?: boolean
}

/** Starts a PostgreSQL server in `dir`, on a free port. */
export async function startPostgres(dir: string, { fsync = false }: PostgresOptions = {}): Promise<PostgresServer> {
  const programs = await postgresPrograms(dir)
  const { bin, runAs } = programs
  const data = join(dir, 'postgres')
  cpSync(await emptyPostgres(programs), data, { recursive: true })
  if (runAs.uid !== undefined) await chmod(dir, 0o755)
  giveAway(data, runAs)
  const port = await freePort()
  const settings = [
    `fsync=${fsync ? 'on' : 'off'}`,
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'max_connections=200',
  ]
  const args = ['-D', data, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])]
  const server = await restartable(port, () => startChild(join(bin, 'postgres'), args, { ...runAs, cwd: data }))
  return {
    ...server,
    async newDatabase() {
      const name = `test_${randomUUID().replaceAll('-', '')}`
      await withClient(server.url, (sql) => sql.unsafe(`create database ${name}`))
      return `postgres://postgres@127.0.0.1:${port}/${name}`
    },
  }
}

/** A folder with an empty database: making one takes a second, a copy does not. */
const emptyPostgres = ({ bin, runAs, version }: PostgresPrograms): Promise<string> =>
  keptFolder(`postgres-${version}`, (draft) =>
    withTempDir(async (dir) => {
      const data = join(dir, 'data')
      await chmod(dir, 0o755)
      await mkdir(data, { mode: 0o700 })
      giveAway(data, runAs)
      const initdb = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']
      await run(join(bin, 'initdb'), initdb, { ...runAs, cwd: data })
      cpSync(data, draft, { recursive: true })
    }),
  )

/** To the user who runs the server. */
function giveAway(folder: string, { uid, gid }: PostgresPrograms['runAs']): void {
  if (uid === undefined || gid === undefined) return
  for (const name of ['', ...readdirSync(folder, { recursive: true, encoding: 'utf8' })]) {
    chownSync(join(folder, name), uid, gid)
  }
}

/** Gives `use` an empty database on a PostgreSQL server of its own, to be killed and started again at will. */
export const withOwnPostgres = <T>(use: (database: Database) => Promise<T>, options?: PostgresOptions): Promise<T> =>
  withTempDir(async (dir) => {
    const own = await startPostgres(dir, options)
    try {
      return await use(own)
    } finally {
      await own.stop()
    }
  })

/**
 * Gives `use` an empty database on a PostgreSQL server that the tests of a file share, for to start one takes a second:
 * it is not theirs to kill.
 */
export async function withPostgres<T>(use: (database: Database) => Promise<T>): Promise<T> {
  shared ??= startShared()
  const server = await shared
  return use({ ...server, url: await server.newDatabase() })
}
let shared: Promise<PostgresServer> | undefined

/** It is ended once this process has nothing left to do. */
async function startShared(): Promise<PostgresServer> {
  const { dir, remove } = await tempDir()
  const server = await startPostgres(dir)
  server.unref()
  process.once('beforeExit', async () => {
    await server.stop()
    await remove()
  })
  return server
}

/** Starts the embedded database as `faafo up` does, with `dir` as its data folder. */
export async function startPglite(dir: string): Promise<Database> {
  const folder = join(dir, 'database')
  if (!existsSync(folder)) await copyEmptyPglite(folder)
  const port = await freePort()
  const flags = [...unoptimized, ...ourFlags]
  const options = ['--supervised', '--data-dir', dir, '--port', String(port)]
  const args = [...flags, ourFile('services/up/database-main'), ...options]
  return restartable(port, () => startChild(process.execPath, args, { cwd: root }))
}

/** Makes `folder` an empty embedded database: a copy, for making one takes seconds. */
export async function copyEmptyPglite(folder: string): Promise<void> {
  const { version } = JSON.parse(await readFile(join(root, 'node_modules/@electric-sql/pglite/package.json'), 'utf8'))
  const kept = await keptFolder(`pglite-${version}`, async (draft) => {
    const { database } = await openDatabase(draft)
    await database.close()
  })
  cpSync(kept, folder, { recursive: true })
}

/** A folder in the user's cache, made by `make` where it is not there yet. */
async function keptFolder(name: string, make: (draft: string) => Promise<void>): Promise<string> {
  const kept = join(cacheDir(), name)
  if (existsSync(kept)) return kept
  await mkdir(cacheDir(), { recursive: true })
  const draft = join(cacheDir(), `.${name}-${randomUUID()}`)
  await make(draft)
  // Another test file may have been quicker.
  await rename(draft, kept).catch(() => rm(draft, { recursive: true }))
  return kept
}

/** Gives `use` an embedded database of its own, and ends it afterwards however `use` ended. */
export const withPglite = <T>(use: (database: Database) => Promise<T>): Promise<T> =>
  withTempDir(async (dir) => {
    const database = await startPglite(dir)
    try {
      return await use(database)
    } finally {
      await database.stop()
    }
  })

async function restartable(port: number, spawn: () => Promise<Child>): Promise<Database & { unref(): void }> {
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  let child = await spawn()
  const ready = () =>
    until(
      async () => {
        // The parts of a killed server may take a moment to let go of its folder.
        if (child.ended() && /shared memory/.test(child.output())) child = await spawn()
        if (child.ended()) throw new Error(`the database server ended:\n${child.output()}`)
        return (await listens(port)) && answers(url)
      },
      { what: () => `the database server answers:\n${child.output()}`, withinMs: 60_000, everyMs: 50 },
    )
  await ready()
  // SIGINT is PostgreSQL's fast shutdown: SIGTERM waits for every client to leave.
  const stop = () => (child.ended() ? Promise.resolve() : child.end('SIGINT'))
  return {
    url,
    port,
    pid: () => child.pid,
    output: () => child.output(),
    ended: () => child.ended(),
    exitCode: () => child.exitCode(),
    closeInput: () => child.closeInput(),
    kill: () => child.end('SIGKILL'),
    unref: () => child.unref(),
    stop,
    async restart() {
      await stop()
      child = await spawn()
      await ready()
    },
  }
}

/** Gives `use` a client of one connection, and ends it. */
export async function withClient<T>(url: string, use: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined, connect_timeout: 5 })
  try {
    return await use(sql)
  } finally {
    // Where the server was killed it would wait as long as it may.
    await sql.end({ timeout: 0.1 })
  }
}

const answers = (url: string): Promise<boolean> =>
  withClient(url, (sql) => sql`select 1`).then(
    () => true,
    () => false,
  )

/** Cheaper to ask than a query is. */
const listens = (port: number): Promise<boolean> =>
  new Promise((done) => {
    const socket = connect(port, '127.0.0.1')
    const answer = (yes: boolean) => {
      socket.destroy()
      done(yes)
    }
    socket.once('connect', () => answer(true)).once('error', () => answer(false))
  })
