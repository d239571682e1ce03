import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NewEvent } from '../../events/events.ts'
import { foldLog } from '../../services/projector/fold-log.ts'
import { withPostgres } from '../support/database.ts'
import { generateLog } from '../support/generated-log.ts'
import { until } from '../support/until.ts'
import { type Projection, requested, withProjection } from './with-projection.ts'

/** One that the table cannot hold. */
const broken: NewEvent = {
  ...requested(),
  data: { ...requested().data, params: { ...requested().data.params, width: 2 ** 40 } },
}

/** Folds until that throws; resolves to the error and the number of reconnect callbacks that are left. */
async function foldInVain({ parts }: Projection): Promise<{ error: Error; callbacks: number }> {
  const { broker } = parts
  const { signal } = new AbortController()
  let callbacks = 0
  const counted = {
    ...broker,
    onReconnect(callback: () => void) {
      callbacks++
      const unsubscribe = broker.onReconnect(callback)
      return () => {
        callbacks--
        unsubscribe()
      }
    },
  }
  const error = await foldLog({ ...parts, broker: counted }, { signal }).then(
    () => new Error('it did not throw'),
    (thrown) => thrown,
  )
  return { error, callbacks }
}

async function consumersOf({ parts: { broker } }: Projection): Promise<number> {
  const jsm = await broker.nc().jetstreamManager()
  return (await jsm.consumers.list(broker.names.stream).next()).length
}

for (const [more, meanwhile] of [
  [3, 'nothing more is read'],
  [24_000, 'the next batch is on its way'],
] as const) {
  test(`a fold that fails while ${meanwhile} leaves no reader behind`, () =>
    withProjection(withPostgres, async (p) => {
      await p.append(broken)
      await generateLog(p.server.url, more)
      const { error, callbacks } = await foldInVain(p)
      assert.match(error.message, /^cannot store event 1: /)
      assert.is(callbacks, 0)
      await until(async () => (await consumersOf(p)) === 0, { what: 'its consumer is gone', withinMs: 15_000 })
    }))
}

test.run()
