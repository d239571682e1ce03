import { availableParallelism } from 'node:os'
import { renderPng } from '../../services/kernel/render.ts'
import { collect } from '../support/collect.ts'
import type { System } from '../support/system.ts'
import { until } from '../support/until.ts'
import type { Row, Suite } from './row.ts'
import { inEachFsyncMode, request } from './system-under-test.ts'

const SIDE = 64
const BATCHES = 10
const BATCH = 1_000

/**
 * Ten batches of 1,000 small pictures, from the first request to the last one projected, after one that nobody
 * times: programs that have just started compile. The reference draws only.
 */
export const tasks: Suite = {
  name: 'tasks',
  async run() {
    const rows: Row[] = []
    const drawing = (await drawRate()) * availableParallelism()
    await inEachFsyncMode({}, async (system, label) => {
      await post(system, 0)
      await completed(system, BATCH)
      const startedAt = performance.now()
      for (let batch = 1; batch <= BATCHES; batch++) await post(system, batch)
      const requested = (performance.now() - startedAt) / 1000
      await completed(system, BATCH * (BATCHES + 1))
      const seconds = (performance.now() - startedAt) / 1000
      const reference = { name: `drawing alone, ${availableParallelism()} cores`, value: drawing }
      rows.push({ name: `tasks (${label})`, value: (BATCH * BATCHES) / seconds, unit: 'tasks/s', reference })
      rows.push({ name: `batch requests (${label})`, value: (BATCH * BATCHES) / requested, unit: 'req/s', reference })
    })
    return rows
  },
}

async function post(system: System, batch: number): Promise<void> {
  const answer = await fetch(`${system.apiUrl}/v1/batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(batchOf(batch)),
  })
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  await answer.arrayBuffer()
}

/** Waits until so many are in the table. */
async function completed(system: System, count: number): Promise<void> {
  const q = encodeURIComponent(JSON.stringify({ filters: [{ name: 'status', op: 'eq', val: 'completed' }] }))
  await until(
    async () => {
      const page = await fetch(`${system.apiUrl}/v1/fractal?results_per_page=1&q=${q}`)
      return page.ok && ((await page.json()) as { num_results: number }).num_results === count
    },
    { what: 'all are projected', withinMs: 120_000, everyMs: 250 },
  )
}

/** All different, as people's are: equal ones would be one file. */
const batchOf = (batch: number) =>
  Array.from({ length: BATCH }, (_, i) => ({ ...request(SIDE), cx: -0.8 + (batch * BATCH + i) * 1e-9 }))

/** Pictures of that size per second, drawn and encoded on one thread. */
async function drawRate(): Promise<number> {
  const until = performance.now() + 2_000
  let count = 0
  for (; performance.now() < until; count++) await collect(renderPng({ uuid: null, params: request(SIDE) }))
  return count / 2
}
