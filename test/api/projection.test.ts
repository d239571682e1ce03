import { headers } from 'nats'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encode } from '../../events/codec.ts'
import { requested } from '../platform/with-log.ts'
import { until } from '../support/until.ts'
import { create, json, type Parts, withApi } from './with-api.ts'

/** An event of a type that this version does not know. */
async function appendUnknown({ broker }: Parts): Promise<void> {
  const event = requested()
  const head = headers()
  for (const [name, value] of Object.entries(encode(event).headers)) head.set(name, value)
  head.set('ce-type', 'TaskPainted')
  await broker.nc().request(broker.names.slot(event), '{}', { headers: head, timeout: 5_000 })
}

const projectionOf = async ({ app }: Parts) => (await json(app.request('/readyz'))).projection

test('readiness tells why the projector halted, and the way out, where the next event cannot be read', () =>
  withApi(async (parts) => {
    await create(parts.app)
    await appendUnknown(parts)
    await until(async () => /halted/.test((await projectionOf(parts)).reason), { what: 'readiness tells of the halt' })
    const { reason, ...rest } = await projectionOf(parts)
    assert.equal(rest, { status: 'degraded', seq: 1, lag_events: 1, lag_seconds: null })
    assert.match(reason, /^the projector halted: cannot read event 2.*a newer version of this program may know it/)
  }))

test('readiness tells how far the tables are behind an event that cannot be read', () =>
  withApi(
    async (parts) => {
      await appendUnknown(parts)
      assert.equal(await projectionOf(parts), {
        status: 'degraded',
        reason: 'the tables are 1 events and an unknown time behind the log',
        seq: 0,
        lag_events: 1,
        lag_seconds: null,
      })
    },
    { projector: false },
  ))

test.run()
