import { execFile, spawn } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { brokerProgram, withBroker } from '../support/broker.ts'
import { withPostgres } from '../support/database.ts'
import { generateLog } from '../support/generated-log.ts'
import { launcher } from '../support/project.ts'
import { withTempDir } from '../support/temp.ts'
import { rawReadRate } from './raw-reading.ts'
import type { Row, Suite } from './row.ts'
import { brokerVersion } from './system-under-test.ts'

const run = promisify(execFile)
const EVENTS = Number(process.env.BENCH_EVENTS ?? 999_999)
const EMMETT_EVENTS = Number(process.env.BENCH_EMMETT_EVENTS ?? EVENTS)
const ROUNDS = 2

/**
 * `faafo replay rebuild` of a whole log on PostgreSQL, start of the process and comparison included, against reading
 * the same stream raw, and against a COPY of the same rows, those of all versions among them, into tables with the
 * same indexes. Then a consumer of another library that keeps events in PostgreSQL (emmett/), which takes a quarter of an
 * hour for a million events: BENCH_EMMETT_EVENTS has it take fewer.
 */
export const rebuild: Suite = {
  name: 'rebuild',
  async run() {
    const rows: Row[] = []
    const label = `nats-server ${brokerVersion(await brokerProgram())}, PostgreSQL`
    await withTempDir((dir) =>
      withBroker((broker) =>
        withPostgres(async (database) => {
          chmodSync(dir, 0o777) // PostgreSQL runs as another user where we are root
          await generateLog(broker.url, EVENTS)
          const best = { rebuild: 0, read: 0, copy: 0 }
          let peakMb = 0
          for (let round = 0; round <= ROUNDS; round++) {
            const rebuilt = await rebuildOnce(broker.url, database.url)
            if (round === 0) continue // fills the table that the others are compared with
            peakMb = Math.max(peakMb, rebuilt.peakMb)
            best.rebuild = Math.max(best.rebuild, rebuilt.rate)
            best.read = Math.max(best.read, await rawReadRate(broker.url, EVENTS))
            best.copy = Math.max(best.copy, await copyRate(database.url, dir))
          }
          const name = `rebuilding ${EVENTS} events (${label})`
          const figure = { name, value: best.rebuild, unit: 'events/s' }
          rows.push({ ...figure, reference: { name: 'raw reading, JSON decoded', value: best.read } })
          rows.push({ ...figure, reference: { name: 'COPY of the rows, as events', value: best.copy } })
          const emmett = await emmettRate(database.url)
          rows.push({ ...figure, reference: { name: 'a consumer of emmett-postgresql, doing nothing', value: emmett } })
          rows.push({ name: 'its peak memory', value: peakMb, unit: 'MB', reference: { name: 'at most', value: 300 } })
        }),
      ),
    )
    return rows
  },
}

async function rebuildOnce(natsUrl: string, databaseUrl: string): Promise<{ rate: number; peakMb: number }> {
  const startedAt = performance.now()
  const child = spawn(process.execPath, [launcher, 'replay', 'rebuild'], {
    env: { PATH: process.env.PATH, NATS_URL: natsUrl, DATABASE_URL: databaseUrl },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  let peakMb = 0
  const look = setInterval(() => {
    const status = readFileSync(join('/proc', String(child.pid), 'status'), 'utf8')
    peakMb = Math.max(peakMb, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)
  }, 100)
  const code = await new Promise((done) => child.once('exit', done))
  clearInterval(look)
  if (code !== 0) throw new Error(`the rebuild ended with exit code ${code}`)
  return { rate: EVENTS / ((performance.now() - startedAt) / 1000), peakMb }
}

const TABLES = ['fractal', 'fractal_version']

/** By the server itself, from its own disk, one table after the other. */
async function copyRate(databaseUrl: string, dir: string): Promise<number> {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} })
  let seconds = 0
  try {
    for (const table of TABLES) {
      const file = join(dir, `${table}.copy`)
      await sql.unsafe(`copy ${table} to '${file}'`)
      await sql`drop table if exists copied`
      await sql.unsafe(`create table copied (like ${table} including all)`)
      const startedAt = performance.now()
      await sql.unsafe(`copy copied from '${file}'`)
      seconds += (performance.now() - startedAt) / 1000
    }
    return EVENTS / seconds
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** Events per second, in another database of the same server; the library is installed first. */
async function emmettRate(databaseUrl: string): Promise<number> {
  const cwd = join(import.meta.dirname, 'emmett')
  const sql = postgres(databaseUrl, { max: 1 })
  await sql`create database emmett`
  await sql.end({ timeout: 1 })
  await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd })
  const url = new URL('/emmett', databaseUrl).href
  const { stdout } = await run(process.execPath, ['consume.js', url, String(EMMETT_EVENTS)], { cwd })
  return JSON.parse(stdout).rate
}
