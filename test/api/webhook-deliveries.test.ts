import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { webhookAttemptSchema, webhookAttemptsSchema, webhookParkedSchema } from '../../services/api/webhook-schemas.ts'
import { webhookAttempt } from '../../services/platform/schema.ts'
import { answerPings } from '../../services/platform/webhook-asks.ts'
import type { Attempt } from '../../services/platform/webhook-attempts.ts'
import { webhookStore } from '../../services/platform/webhook-store.ts'
import { webhooksOf } from '../../services/platform/webhooks.ts'
import { ask, make, show } from './webhook-requests.ts'
import { json, withApi, withWrites } from './with-api.ts'

const attempt = (webhook: string, more: Partial<Attempt> = {}): Attempt => ({
  ...{ webhook, at: Date.parse('2026-01-02T03:04:05.678Z'), eventId: v4(), cursor: '7-0198c3a1', attempt: 1 },
  ...{
    type: 'TaskCompleted',
    fractal: v4(),
    status: 204,
    latencyMs: 12,
    outcome: 'delivered',
    error: null,
    answer: '',
  },
  ...more,
})

test('what is parked is listed, and asked for again', () =>
  withWrites(async ({ app, broker }) => {
    const { webhook, path } = await make(app)
    const fractal = v4()
    const parked = [3, 7].map((seq) => ({
      ...{ seq, cursor: `${seq}-0198c3a1`, type: 'TaskCompleted', uuid: fractal, attempts: 17 },
      ...{ since: Date.parse('2026-01-02T03:04:05.678Z'), error: 'it answered 500' },
    }))
    await webhookStore(broker).changeParked(webhook.id, () => parked)
    const list = await json(app.request(`${path}/parked`))
    assert.equal(webhookParkedSchema.strict().parse(list), list)
    assert.equal(list.parked[1], {
      ...{ cursor: '7-0198c3a1', type: 'TaskCompleted', uuid: fractal, attempts: 17 },
      ...{ since: '2026-01-02T03:04:05.678Z', error: 'it answered 500' },
    })
    assert.is((await show(app, path)).parked, 2)
    const retry = (body: unknown) => ask(app, `${path}/parked/retry`, body)
    for (const body of [{ cursors: ['3', '7-0198C3A1'] }, { uuid: fractal.toUpperCase() }, { all: true }]) {
      const { status, object } = await retry(body)
      assert.equal([status, object.id], [200, webhook.id])
    }
    assert.equal(
      (await webhooksOf(broker).load(webhook.id))?.retries.map(({ cursors, uuid }) => ({ cursors, uuid })),
      [
        { cursors: ['3-0198c3a1', '7-0198c3a1'], uuid: null },
        { cursors: null, uuid: fractal },
        { cursors: null, uuid: null },
      ],
    )
    const unknown = await retry({ cursors: ['3', '4'] })
    assert.equal([unknown.status, unknown.object.code], [404, 'not-found'])
    assert.match(unknown.object.detail, `cannot retry '4' of webhook '${webhook.id}': it is not parked`)
    for (const body of [{}, { all: false }, { all: true, uuid: fractal }, { cursors: [] }, { cursors: ['x'] }]) {
      assert.is((await retry(body)).status, 400, JSON.stringify(body))
    }
  }))

test('a ping is sent by whoever delivers, and told as it went; without one it is a 503', () =>
  withWrites(async ({ app, broker }) => {
    const { webhook, path } = await make(app)
    const nobody = await ask(app, `${path}/ping`)
    assert.equal([nobody.status, nobody.object.code], [503, 'subscribers-unavailable'])
    assert.ok(nobody.headers.get('retry-after'))
    const refused = { status: null, outcome: 'refused', error: 'cannot send to 127.0.0.1', answer: null } as const
    const stop = new AbortController()
    const ping = (id: string) => Promise.resolve(attempt(id, { cursor: null, fractal: null, type: 'Ping', ...refused }))
    answerPings(broker, ping, stop.signal)
    await broker.nc().flush()
    const { status, object } = await ask(app, `${path}/ping`)
    assert.is(status, 200)
    assert.equal(webhookAttemptSchema.strict().parse(object), object)
    assert.equal([object.outcome, object.error, object.cursor], ['refused', 'cannot send to 127.0.0.1', null])
    assert.is((await ask(app, `/v1/webhooks/${v4()}/ping`)).status, 404)
    assert.is((await show(app, path)).id, webhook.id)
    stop.abort()
  }))

test('attempts come newest first; without the database they are a 503', () =>
  withApi(async ({ app, db }) => {
    const { webhook, path } = await make(app)
    const others = attempt(v4())
    const failed = { status: 500, outcome: 'failed', error: 'it answered 500', answer: 'no room' } as const
    const made = [attempt(webhook.id, failed), others, attempt(webhook.id, { attempt: 2 })]
    await db.insert(webhookAttempt).values(made.map((one) => ({ ...one, at: new Date(one.at) })))
    const list = await json(app.request(`${path}/attempts`))
    assert.equal(webhookAttemptsSchema.strict().parse(list), list)
    assert.equal(
      list.attempts.map(({ attempt }: { attempt: number }) => attempt),
      [2, 1],
    )
    assert.equal(list.attempts[1], {
      ...{ at: '2026-01-02T03:04:05.678Z', event_id: made[0]?.eventId, cursor: '7-0198c3a1', type: 'TaskCompleted' },
      ...{ uuid: made[0]?.fractal, attempt: 1, status: 500, latency_ms: 12, outcome: 'failed' },
      ...{ error: 'it answered 500', answer: 'no room' },
    })
    assert.is((await json(app.request(`${path}/attempts?limit=1`))).attempts.length, 1)
    for (const query of ['limit=0', 'limit=201', 'limit=x', 'page=2']) {
      assert.is((await app.request(`${path}/attempts?${query}`)).status, 400, query)
    }
  }))

test.run()
