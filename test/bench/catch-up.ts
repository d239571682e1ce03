import { spawn } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import postgres from 'postgres'
import { liveModel } from '../../services/platform/read-model.ts'
import { brokerProgram, withBroker } from '../support/broker.ts'
import { withPostgres } from '../support/database.ts'
import { generateLog } from '../support/generated-log.ts'
import { root } from '../support/project.ts'
import { until } from '../support/until.ts'
import { rawReadRate } from './raw-reading.ts'
import type { Row, Suite } from './row.ts'
import { brokerVersion } from './system-under-test.ts'

const EVENTS = 99_999

/** An empty projector catching up on PostgreSQL, against reading the same stream raw and decoding its JSON. */
export const catchUp: Suite = {
  name: 'catch-up',
  async run() {
    const rows: Row[] = []
    const label = `nats-server ${brokerVersion(await brokerProgram())}, PostgreSQL`
    await withBroker(async (broker) => {
      await withPostgres(async (database) => {
        await generateLog(broker.url, EVENTS)
        const reference = { name: 'raw reading, JSON decoded', value: await rawReadRate(broker.url, EVENTS) }
        const value = await projectionRate(broker.url, database.url)
        rows.push({ name: `catching up ${EVENTS} events (${label})`, value, unit: 'events/s', reference })
      })
    })
    return rows
  },
}

/** From the projector's first commit's checkpoint at 0 to the end of the log; the start of the process apart. */
async function projectionRate(natsUrl: string, databaseUrl: string): Promise<number> {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} })
  const env = { ...process.env, NATS_URL: natsUrl, DATABASE_URL: databaseUrl, LOG_LEVEL: 'warn' }
  const projector = spawn(process.execPath, [join(root, 'dist', 'services', 'projector', 'main.js')], {
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const at = async () => {
    const rows = await sql<{ seq: string }[]>`
      select seq from projection_checkpoint where projection = ${liveModel.projection}`.catch(() => [])
    return rows[0] === undefined ? -1 : Number(rows[0].seq)
  }
  try {
    await until(async () => (await at()) >= 0, { what: 'the projector has made its checkpoint', everyMs: 5 })
    const [startedAt, from] = [performance.now(), await at()]
    await until(async () => (await at()) >= EVENTS, { what: 'it has caught up', withinMs: 120_000, everyMs: 10 })
    return (EVENTS - from) / ((performance.now() - startedAt) / 1000)
  } finally {
    projector.kill('SIGTERM')
    await sql.end()
  }
}
