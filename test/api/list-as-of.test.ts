import { eq } from 'drizzle-orm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cursorOf } from '../../events/cursor.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { evolve, type Fractal, isFractal, type Task, unknown } from '../../events/task.ts'
import { objectOf } from '../../services/api/object.ts'
import { checkpoint } from '../../services/platform/schema.ts'
import { allEvents } from '../support/all-events.ts'
import { withPglite, withPostgres } from '../support/database.ts'
import { appendLegalHistories } from '../support/legal-log.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { create, json, type Parts, withApi } from './with-api.ts'

const MOMENTS = 50

const list = ({ app }: Pick<Parts, 'app'>, query: Record<string, string | number>) =>
  Promise.resolve(app.request(`/v1/fractal?${new URLSearchParams(query as Record<string, string>)}`))

/** The list, naively: every fractal that there was, in the order of creation. */
function foldAll(events: readonly RecordedEvent[]): Fractal[] {
  const tasks = new Map<string, Task>()
  for (const event of events) tasks.set(event.fractal, evolve(tasks.get(event.fractal) ?? unknown, event))
  const all = [...tasks.values()].filter(isFractal)
  return all.sort((a, b) => a.first.seq - b.first.seq)
}

for (const [name, database] of [
  ['PostgreSQL', withPostgres],
  ['PGlite', withPglite],
] as const) {
  test(`the list at any moment is the fold of what had happened by then, on ${name}`, () =>
    withApi(
      async (parts) => {
        const seed = Math.floor(Math.random() * 2 ** 31)
        console.log(`seed ${seed}`)
        const random = seededRandom(seed)
        await appendLegalHistories(parts.log, { seed, count: 60 })
        const events = await allEvents(parts)
        for (let n = 0; n < MOMENTS; n++) {
          const moment = events[Math.floor(random() * events.length)] as RecordedEvent
          const isTime = random() < 0.5
          const as_of = isTime ? new Date(moment.recordedAt).toISOString() : cursorOf(moment)
          const before = events.filter((e) => (isTime ? e.recordedAt <= moment.recordedAt : e.seq <= moment.seq))
          const expected = foldAll(before).map((fractal) => objectOf(fractal))
          const all = await json(list(parts, { as_of, results_per_page: -1 }))
          assert.equal(all.objects, expected, as_of)
          assert.is(all.num_results, expected.length)

          const size = 1 + Math.floor(random() * 20)
          const page = 1 + Math.floor(random() * 3)
          const numbered = await json(list(parts, { as_of, page, results_per_page: size }))
          assert.equal(numbered.objects, expected.slice((page - 1) * size, page * size))
          assert.is(numbered.num_results, expected.length)

          const cancelled = expected.filter(({ status }) => status === 'cancelled')
          const filters = [{ name: 'status', op: '==', val: 'cancelled' }]
          const order_by = [{ field: 'finished_at', direction: 'desc' }]
          const filtered = await json(list(parts, { as_of, q: JSON.stringify({ filters, order_by }) }))
          const sorted = cancelled.toSorted((a, b) => Date.parse(b.finished_at ?? '') - Date.parse(a.finished_at ?? ''))
          assert.equal(filtered.objects, sorted.slice(0, 10))
          assert.is(filtered.num_results, cancelled.length)
        }
      },
      { database },
    ))
}

test('keyset pages of a moment are those of that moment, whatever happens while they are read', () =>
  withApi(async (parts) => {
    await appendLegalHistories(parts.log, { seed: 3, count: 40 })
    const events = await allEvents(parts)
    const as_of = cursorOf(events[Math.floor(events.length / 2)] as RecordedEvent)
    const expected = foldAll(events.slice(0, Math.floor(events.length / 2) + 1))
    const seen: string[] = []
    let path: string | undefined = `/v1/fractal?${new URLSearchParams({ as_of, after: '0', results_per_page: '7' })}`
    while (path) {
      const response: Response = await parts.app.request(path)
      const { objects } = await json(response)
      seen.push(...objects.map(({ uuid }: { uuid: string }) => uuid))
      path = /<([^>]+)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1]
      for (const { uuid } of objects) await parts.app.request(`/v1/fractal/${uuid}`, { method: 'DELETE' })
    }
    assert.equal(
      seen,
      expected.map(({ uuid }) => uuid),
    )
  }))

test('a moment that cannot be had is told apart from one that has not come', () =>
  withApi(async (parts) => {
    const created = await create(parts.app)
    for (const as_of of ['2999-01-01T00:00:00Z', '999', created.cursor]) {
      assert.is((await json(list(parts, { as_of }))).num_results, 1, as_of)
    }
    for (const as_of of ['0', '2001-01-01T00:00:00Z'])
      assert.is((await json(list(parts, { as_of }))).num_results, 0, as_of)
    const other = await list(parts, { as_of: '1-00000000' })
    assert.is(other.status, 410)
    assert.is((await json(other)).code, 'log-replaced')
    const wrong = await list(parts, { as_of: 'yesterday' })
    assert.is(wrong.status, 400)
    assert.match((await json(wrong)).detail, /'yesterday': expected a cursor such as .* or a time such as/)
  }))

test('tables that an older version made say nothing of what was', () =>
  withApi(async (parts) => {
    const { cursor } = await create(parts.app)
    assert.is((await list(parts, { as_of: cursor })).status, 200)
    await parts.db.update(checkpoint).set({ version: 1 }).where(eq(checkpoint.projection, 'fractal'))
    const behind = await list(parts, { as_of: cursor })
    assert.is(behind.status, 503)
    assert.match((await json(behind)).detail, /has yet to make/)
  }))

test.run()
