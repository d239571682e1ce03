import { connect } from 'nats'
import { v4 } from 'uuid'
import { renderPng } from '../../services/kernel/render.ts'
import { collect } from '../support/collect.ts'
import { median, percentile, type Row, type Suite } from './row.ts'
import { inEachFsyncMode, request } from './system-under-test.ts'

const SIDE = 256
const ROUNDS = 200

/** From sending the POST to TaskCompleted in the log, one at a time on an idle system; the reference draws only. */
export const latency: Suite = {
  name: 'latency',
  async run() {
    const rows: Row[] = []
    await inEachFsyncMode({}, async (system, label) => {
      const nc = await connect({ servers: system.natsUrl })
      const outcomes = nc.subscribe('fractal.outcome.>')[Symbol.asyncIterator]()
      const samples: number[] = []
      const drawing: number[] = []
      for (let round = -10; round < ROUNDS; round++) {
        const sentAt = performance.now()
        const answer = await fetch(`${system.apiUrl}/v1/fractal`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ uuid: v4(), ...request(SIDE) }),
        })
        if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`)
        await outcomes.next()
        const elapsed = performance.now() - sentAt
        await answer.body?.cancel()
        const drawnAt = performance.now()
        await collect(renderPng({ uuid: null, params: request(SIDE) }))
        if (round < 0) continue // the first ones warm up
        samples.push(elapsed)
        drawing.push(performance.now() - drawnAt)
      }
      await nc.close()
      const reference = { name: 'drawing alone, p50', value: median(drawing) }
      rows.push({ name: `request to completed p50 (${label})`, value: median(samples), unit: 'ms', reference })
      rows.push({
        name: `request to completed p99 (${label})`,
        value: percentile(samples, 0.99),
        unit: 'ms',
        reference,
      })
    })
    return rows
  },
}
