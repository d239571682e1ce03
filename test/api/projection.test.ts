import { headers } from 'nats'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encode } from '../../events/codec.ts'
import { parkedIdOf } from '../../events/parked.ts'
import { decideOn, parkedDataOf, parkedEvents } from '../../services/platform/parked-events.ts'
import { identified, requested } from '../platform/with-log.ts'
import { until } from '../support/until.ts'
import { create, json, type Parts, withApi } from './with-api.ts'

/** An event of a type that this version does not know. */
async function appendUnknown({ broker }: Parts, of?: string): Promise<{ seq: number; id: string }> {
  const event = of ? cancelled(of) : requested()
  const head = headers()
  for (const [name, value] of Object.entries(encode(event).headers)) head.set(name, value)
  head.set('ce-type', 'TaskPainted')
  const answer = await broker.nc().request(broker.names.slot(event), '{}', { headers: head, timeout: 5_000 })
  return { seq: answer.json<{ seq: number }>().seq, id: event.id }
}

const cancelled = (fractal: string) =>
  identified({ type: 'TaskCancelled', fractal, data: { generation: 1, reason: 'asked for' } })

const projectionOf = async ({ app }: Parts) => (await json(app.request('/readyz'))).projection

test('readiness tells why the projector halted, and the way out, where the next event cannot be read', () =>
  withApi(async (parts) => {
    await create(parts.app)
    await appendUnknown(parts)
    await until(async () => /halted/.test((await projectionOf(parts)).reason), { what: 'readiness tells of the halt' })
    const { reason, lag_seconds, ...rest } = await projectionOf(parts)
    assert.equal(rest, { status: 'degraded', seq: 1, lag_events: 1, parked: 0 })
    assert.ok(lag_seconds >= 0)
    assert.match(reason, /^the projector halted: cannot read event 2.*a newer version of this program may know it/)
  }))

test('readiness tells how far the tables are behind an event that cannot be read', () =>
  withApi(
    async (parts) => {
      await appendUnknown(parts)
      await until(async () => (await projectionOf(parts)).status === 'degraded', { what: 'it is some seconds behind' })
      const { reason, lag_seconds, ...rest } = await projectionOf(parts)
      assert.equal(rest, { status: 'degraded', seq: 0, lag_events: 1, parked: 0 })
      assert.match(reason, /^the tables are 1 events and \d+ s behind the log$/)
      assert.ok(lag_seconds > 5)
    },
    { projector: false },
  ))

test('a fractal that is held back is shown as it was, its history with the event that cannot be read; commands say so', () =>
  withApi(async (parts) => {
    const { app, broker } = parts
    const { uuid } = await create(app)
    const { seq, id } = await appendUnknown(parts, uuid)
    const message = await parts.log.messageAt(seq)
    if (!message) throw new Error('it was appended')
    const cursor = parkedIdOf({ seq, id })
    const data = parkedDataOf(message, broker.names, 'cannot read it')
    await decideOn(parkedEvents(broker), { type: 'park', id: cursor, data }, '/test')
    await until(async () => (await projectionOf(parts)).parked === 1, { what: 'the projector goes on past it' })
    const { reason, ...rest } = await projectionOf(parts)
    assert.equal(rest, { status: 'degraded', seq: 2, lag_events: 0, lag_seconds: 0, parked: 1 })
    assert.is(reason, '1 event is parked: see faafo replay park list --kind event')

    assert.is((await json(app.request(`/v1/fractal/${uuid}`))).status, 'requested')
    assert.is((await json(app.request('/v1/fractal'))).num_results, 1)
    const past = new Date().toISOString()
    assert.is((await json(app.request(`/v1/fractal?as_of=${past}`))).num_results, 1)
    const { events } = await json(app.request(`/v1/fractal/${uuid}/events`))
    assert.is(events.length, 2)
    assert.ok(events[1].unreadable)
    for (const [method, path] of [
      ['GET', `/v1/fractal/${uuid}?as_of=${past}`],
      ['POST', `/v1/fractal/${uuid}/cancel`],
    ] as const) {
      const answer = await app.request(path, { method })
      const problem = (await answer.json()) as { code: string; detail: string }
      assert.equal([answer.status, problem.code], [500, 'undecodable-event'], path)
      assert.match(problem.detail, /^an event of this fractal cannot be read: .*`faafo replay verify` names it$/)
    }
  }))

test.run()
