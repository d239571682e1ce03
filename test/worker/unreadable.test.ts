import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parkedIdOf } from '../../events/parked.ts'
import { decideOn, parkedDataOf, parkedEvents } from '../../services/platform/parked-events.ts'
import { readQueue } from '../../services/platform/queue-consumer.ts'
import { requested } from '../projector/with-projection.ts'
import { NEWER } from '../support/newer-program.ts'
import { until } from '../support/until.ts'
import { writeRaw } from '../support/write-raw.ts'
import { withWorkplace } from './workplace.ts'

test('a task with an attempt that cannot be read is rendered alone; one whose outcome cannot be read is done', () =>
  withWorkplace(async (at) => {
    const begun = await at.request({})
    const started = { generation: 1, entry: 1, worker: 'newer', isolated: false }
    await writeRaw(at.broker.url, { type: 'TaskStarted', fractal: begun.uuid, data: started }, NEWER)
    const ended = await at.request({})
    const cancelled = { generation: 1, reason: 'asked for' }
    await writeRaw(at.broker.url, { type: 'TaskCancelled', fractal: ended.uuid, data: cancelled }, NEWER)
    at.runWorker()
    const outcome = await at.outcome(begun)
    assert.is(outcome.type === 'TaskCompleted' && outcome.data.started, 2)
    const second = await at.log.read(at.connection.names.attempt(begun.uuid, 1, 2))
    assert.is(second?.type === 'TaskStarted' && second.data.isolated, true)
    await until(
      async () => {
        const queue = await readQueue(at.connection)
        return queue?.waiting === 0 && queue.inHand === 0
      },
      { what: 'both are done' },
    )
  }))

test('a request that cannot be read waits for a newer worker and blocks nobody; a dropped one is done', () =>
  withWorkplace(async (at) => {
    await writeRaw(at.broker.url, requested(v4()), NEWER)
    const dropped = await writeRaw(at.broker.url, requested(v4()), NEWER)
    const message = await at.log.messageAt(dropped.seq)
    if (!message) throw new Error('it was written')
    const parked = parkedEvents(at.connection)
    const id = parkedIdOf(dropped)
    const data = parkedDataOf(message, at.connection.names, 'cannot read it')
    await decideOn(parked, { type: 'park', id, data }, '/test')
    await decideOn(parked, { type: 'drop', id }, '/test')
    at.runWorker()
    const good = await at.request({})
    assert.is((await at.outcome(good)).type, 'TaskCompleted')
    const depth = async () => {
      const queue = await readQueue(at.connection)
      return `${queue?.waiting} waiting, ${queue?.inHand} in hand`
    }
    await until(async () => (await depth()) === '0 waiting, 1 in hand', {
      what: async () => `one waits: ${await depth()}`,
    })
  }))

test.run()
