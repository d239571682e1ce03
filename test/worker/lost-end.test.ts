import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NewEvent } from '../../events/events.ts'
import { until } from '../support/until.ts'
import { slowPicture, type Workplace, withWorkplace } from './workplace.ts'

/*
 * A power cut can take the end of the log and leave what the broker wrote elsewhere, such as the state of the queue.
 * Here the stream's files are put back as they were.
 */
const files = ({ broker, connection }: Workplace) => {
  const stream = join(broker.storeDir, 'jetstream', '$G', 'streams', connection.names.stream, 'msgs')
  return { stream, copy: join(broker.storeDir, '..', 'copy') }
}

async function whileStopped({ broker, connection }: Workplace, act: () => Promise<void>): Promise<void> {
  await broker.stop()
  await act()
  await broker.restart()
  await until(() => connection.isConnected(), { what: 'the connection is back' })
}

const keepEnd = (at: Workplace) => whileStopped(at, () => cp(files(at).stream, files(at).copy, { recursive: true }))

const loseEnd = (at: Workplace) =>
  whileStopped(at, async () => {
    await rm(files(at).stream, { recursive: true })
    await cp(files(at).copy, files(at).stream, { recursive: true })
  })

test('a request is delivered although the queue stood beyond the end of the log', () =>
  withWorkplace(async (at) => {
    const end = at.runWorker()
    await at.outcome(await at.request({}))
    await keepEnd(at)
    for (let n = 0; n < 5; n++) await at.outcome(await at.request({}))
    await end()
    await loseEnd(at)
    const request = await at.request({})
    at.runWorker()
    assert.is((await at.outcome(request)).type, 'TaskCompleted')
  }))

test('a request that the log lost has no outcome, and repeated it is rendered', () =>
  withWorkplace(async (at) => {
    at.runWorker()
    await at.outcome(await at.request({}))
    await keepEnd(at)
    const { uuid, generation } = await at.request(slowPicture(3e9))
    const lost = await at.log.read(at.connection.names.requested(uuid, generation))
    await until(async () => (await at.attempts({ uuid, generation })).length > 0, { what: 'the render has begun' })
    await loseEnd(at)
    assert.is(await at.log.read(at.connection.names.requested(uuid, generation)), null)
    await at.append({ type: 'TaskRequested', fractal: uuid, data: lost?.data } as NewEvent)
    const repeated = await at.log.read(at.connection.names.requested(uuid, generation))
    const outcome = await at.outcome({ uuid, generation })
    assert.is(outcome.type, 'TaskCompleted')
    assert.is(outcome.causationid, repeated?.id)
    assert.ok(outcome.seq > (repeated?.seq ?? Number.POSITIVE_INFINITY))
  }))

test.run()
