import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { connect as connectNats, headers } from 'nats'
import { v4 } from 'uuid'
import { encode } from '../../events/codec.ts'
import { namesIn } from '../../events/subjects.ts'
import { readLog, startOfLog } from '../../services/platform/log-reader.ts'
import { requested } from '../platform/with-log.ts'
import { withReadModel } from '../support/read-model.ts'
import { type System, withSystem } from '../support/system.ts'
import { until } from '../support/until.ts'
import { percentile, type Row, type Suite } from './row.ts'

const CLIENTS = Number(process.env.BENCH_FOLLOW_CLIENTS ?? 300)
const SECONDS = Number(process.env.BENCH_FOLLOW_SECONDS ?? 20)
const A_SECOND = 50
const STUCK = 20

/**
 * From the broker's time of an event to the last byte of it at a client, with many who follow at once, beside a consumer of
 * the log; what the api's memory does meanwhile, and what clients that stop reading cost it and the others.
 */
export const follow: Suite = {
  name: 'follow',
  async run() {
    const rows: Row[] = []
    await withSystem(
      async (system) => {
        const [pid = 0] = await system.pids('api')
        const latencies: number[] = []
        const sockets = await Promise.all(
          Array.from({ length: CLIENTS }, () => openStream(system, (text) => note(text, latencies))),
        )
        const consumer = await consumerLatencies(system)
        const memory: number[] = []
        const watch = setInterval(() => memory.push(residentMb(pid)), 250)
        const published = await publish(system, SECONDS)
        await until(() => latencies.length >= published * CLIENTS, {
          what: () => `all ${published * CLIENTS} deliveries are there, now ${latencies.length}`,
        })
        clearInterval(watch)
        const quarter = Math.ceil(memory.length / 4)
        const label = `${CLIENTS} clients, ${A_SECOND} events/s, ${SECONDS} s`
        const reference = { name: 'a consumer of the log', value: percentile(await consumer.stop(), 0.99) }
        const alone = percentile(latencies, 0.99)
        rows.push({ name: `event to stream p99 (${label})`, value: alone, unit: 'ms', reference })
        rows.push({
          name: 'memory of the api, last quarter of that',
          value: mean(memory.slice(-quarter)),
          unit: 'MB',
          reference: { name: 'second quarter', value: mean(memory.slice(quarter, 2 * quarter)) },
        })

        const before = residentMb(pid)
        const stuck = await Promise.all(Array.from({ length: STUCK }, () => openStream(system, () => {})))
        for (const socket of stuck) socket.pause()
        latencies.length = 0
        const more = await publish(system, Math.min(Math.max(10, SECONDS / 4), 30))
        await until(() => latencies.length >= more * CLIENTS, { what: 'the others get all of it' })
        rows.push({
          name: `event to stream p99 beside ${STUCK} clients that stop reading`,
          value: percentile(latencies, 0.99),
          unit: 'ms',
          reference: { name: 'without them', value: alone },
        })
        rows.push({
          name: `memory for each of ${STUCK} clients that stop reading`,
          value: (residentMb(pid) - before) / STUCK,
          unit: 'MB',
          reference: { name: 'at most', value: 1 },
        })
        for (const socket of [...sockets, ...stuck]) socket.destroy()
      },
      { env: { WORKERS: '0', LOG_LEVEL: 'error' }, optimized: true },
    )
    return rows
  },
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

const residentMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(join('/proc', String(pid), 'status'), 'utf8'))?.[1] ?? 0) / 1024

/** A client that looks at nothing but what it is given: as cheap as can be, for there are many. */
function openStream({ apiUrl }: System, onText: (text: string) => void): Promise<Socket> {
  const { hostname, port, host } = new URL(apiUrl)
  return new Promise((done, failed) => {
    const socket = connect(Number(port), hostname)
    socket.setEncoding('latin1')
    socket.on('error', failed)
    socket.on('data', (text) => {
      done(socket)
      onText(String(text))
    })
    socket.write(`GET /v1/events HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`)
  })
}

const RECORDED = '"recordedtime":"'

/** A frame arrives whole, at 50 a second: none is larger than a packet. */
function note(text: string, latencies: number[]): void {
  const now = performance.timeOrigin + performance.now()
  for (let at = text.indexOf(RECORDED); at >= 0; at = text.indexOf(RECORDED, at + 1)) {
    const time = text.slice(at + RECORDED.length, at + RECORDED.length + 24)
    latencies.push(now - Date.parse(time))
  }
}

async function consumerLatencies({ natsUrl, databaseUrl }: System): Promise<{ stop(): Promise<number[]> }> {
  const latencies: number[] = []
  const stop = new AbortController()
  const reading = withReadModel({ natsUrl, databaseUrl }, async (parts) => {
    const { lastSeq } = await parts.log.head()
    for await (const batch of readLog(parts, { from: { ...startOfLog, seq: lastSeq }, signal: stop.signal })) {
      const now = performance.timeOrigin + performance.now()
      for (const { recordedAt } of batch) latencies.push(now - recordedAt)
    }
  })
  return {
    async stop() {
      stop.abort()
      await reading
      return latencies
    },
  }
}

/** At a steady rate; resolves to how many they were. */
async function publish({ natsUrl }: System, seconds: number): Promise<number> {
  const nc = await connectNats({ servers: natsUrl })
  const names = namesIn('')
  const startedAt = performance.now()
  let published = 0
  for (; published < seconds * A_SECOND; published++) {
    const event = requested(v4())
    const message = encode(event)
    const head = headers()
    for (const [name, value] of Object.entries(message.headers)) head.set(name, value)
    await nc.request(names.slot(event), message.body, { headers: head, timeout: 10_000 })
    const ahead = (published * 1000) / A_SECOND - (performance.now() - startedAt)
    if (ahead > 0) await new Promise((done) => setTimeout(done, ahead))
  }
  await nc.close()
  return published
}
