import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readQueue } from '../../services/platform/queue-consumer.ts'
import { until } from '../support/until.ts'
import { type Workplace, withWorkplace } from './workplace.ts'

const asked = ({ connection }: Workplace) =>
  until(async () => ((await readQueue(connection))?.asks ?? 0) > 0, { what: 'a worker asks' })

const isThere = ({ connection }: Workplace) =>
  until(async () => (await readQueue(connection)) !== null, { what: 'the queue is there' })

test('a queue that is deleted is made again within seconds by a worker that waits for requests', () =>
  withWorkplace(async (at) => {
    at.runWorker()
    await at.outcome(await at.request({}))
    for (let n = 0; n < 3; n++) {
      await asked(at)
      await at.forgetDeliveries()
      await isThere(at)
      const request = await at.request({})
      assert.is((await at.outcome(request)).type, 'TaskCompleted')
    }
  }))

test('no request is lost, and none is rendered to two outcomes, where the queue is deleted in the middle of the work', () =>
  withWorkplace(async (at) => {
    for (const name of ['first', 'second']) at.runWorker({ name })
    const requests: { uuid: string; generation: number }[] = []
    for (let n = 0; n < 12; n++) {
      requests.push(...(await Promise.all(Array.from({ length: 10 }, () => at.request({})))))
      if (n % 3 === 1) await at.forgetDeliveries()
    }
    for (const request of requests) assert.is((await at.outcome(request)).type, 'TaskCompleted')
    await until(
      async () => {
        const queue = await readQueue(at.connection)
        return queue !== null && queue.waiting + queue.inHand === 0
      },
      { what: 'everything was delivered again, and found done' },
    )
    const attempts = await Promise.all(requests.map((request) => at.attempts(request)))
    assert.ok(attempts.flat().every(({ type }) => type === 'TaskStarted'))
  }))

test.run()
