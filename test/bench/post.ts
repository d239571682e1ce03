import autocannon from 'autocannon'
import { connect } from 'nats'
import { v4 } from 'uuid'
import type { Row, Suite } from './row.ts'
import { inEachFsyncMode, request } from './system-under-test.ts'

const CONNECTIONS = 50
const SECONDS = 10

/** POST requests per second through one api, against bare appends to the same broker, as many in flight. */
export const post: Suite = {
  name: 'post',
  async run() {
    const rows: Row[] = []
    await inEachFsyncMode({ WORKERS: '0' }, async (system, label) => {
      const appends = await appendRate(system.natsUrl)
      const result = await autocannon({
        url: `${system.apiUrl}/v1/fractal`,
        method: 'POST',
        connections: CONNECTIONS,
        duration: SECONDS,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(request(64)),
      })
      if (result.non2xx > 0) throw new Error(`${result.non2xx} of ${result.requests.total} requests were refused`)
      const reference = { name: 'bare appends', value: appends }
      rows.push({ name: `POST (${label})`, value: result.requests.average, unit: 'req/s', reference })
      const floor = { name: '50 / bare appends', value: (CONNECTIONS / appends) * 1000 }
      rows.push({ name: `POST p99 (${label})`, value: result.latency.p99, unit: 'ms', reference: floor })
    })
    return rows
  },
}

/** Appends per second of messages like ours to a scratch stream, CONNECTIONS at a time. */
async function appendRate(url: string): Promise<number> {
  const nc = await connect({ servers: url })
  const jsm = await nc.jetstreamManager()
  await jsm.streams.add({ name: 'SCRATCH', subjects: ['scratch.*'] })
  const body = JSON.stringify({ ...request(64), padding: 'x'.repeat(600) })
  const until = performance.now() + 3_000
  let count = 0
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      while (performance.now() < until) {
        await nc.request(`scratch.${v4()}`, body, { timeout: 5_000 })
        count++
      }
    }),
  )
  await jsm.streams.delete('SCRATCH')
  await nc.close()
  return count / 3
}
