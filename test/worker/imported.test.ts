import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NewAggregateEvent } from '../../events/aggregate.ts'
import { FaafoError } from '../../events/errors.ts'
import type { NewEvent, RecordedEvent } from '../../events/events.ts'
import { hashRequest } from '../../events/fractal.ts'
import { importKind } from '../../events/import.ts'
import { aggregatesOf } from '../../services/platform/aggregates.ts'
import { identify } from '../../services/platform/identity.ts'
import { createLogger } from '../../services/platform/logger.ts'
import { readQueue } from '../../services/platform/queue-consumer.ts'
import type { Request } from '../../services/worker/attempt-log.ts'
import { importedTasks } from '../../services/worker/imported.ts'
import { completed, recordedAs } from '../support/legal-history.ts'
import { until } from '../support/until.ts'
import { picture, type Workplace, withWorkplace } from './workplace.ts'

const importid = '0123456789abcdef0123456789abcdef'

const imported = ({ log }: Workplace, event: NewEvent) =>
  log.append({ ...identify(event, '/elsewhere'), recordedtime: '2020-01-01T00:00:00.000Z', importid } as RecordedEvent)

const requestOf = (fractal: string): NewEvent => ({
  type: 'TaskRequested',
  fractal,
  data: { generation: 1, cause: 'created', params: picture, chosen: [], requestHash: hashRequest(picture) },
})

async function tell({ connection }: Workplace, version: number, type: 'ImportBegun' | 'ImportFinished') {
  const data = {
    ImportBegun: { log: 'x', first: null, last: null, events: 2 },
    ImportFinished: { appended: 2, duplicates: 0, conflicts: 0 },
  }[type]
  const event = { type, aggregate: importid, version, data } as NewAggregateEvent<typeof importKind>
  await aggregatesOf(connection, importKind).append(identify(event, '/test'))
}

test('what is imported is not rendered before its import is over, and others do not wait for it', () =>
  withWorkplace(async (at) => {
    await tell(at, 1, 'ImportBegun')
    const early = { uuid: v4(), generation: 1 }
    await imported(at, requestOf(early.uuid))
    at.runWorker()
    assert.is((await at.outcome(await at.request({}))).type, 'TaskCompleted')
    assert.equal(await at.attempts(early), [])
    await tell(at, 2, 'ImportFinished')
    assert.is((await at.outcome(early)).type, 'TaskCompleted')
    assert.is((await at.attempts(early)).length, 1)

    // Done again: what comes with it waits again.
    await tell(at, 3, 'ImportBegun')
    const late = { uuid: v4(), generation: 1 }
    await imported(at, requestOf(late.uuid))
    assert.is((await at.outcome(await at.request({}))).type, 'TaskCompleted')
    assert.equal(await at.attempts(late), [])
  }))

test('what has its outcome is done with, whether or not its import is over', () =>
  withWorkplace(async (at) => {
    const { uuid } = { uuid: v4() }
    await imported(at, requestOf(uuid))
    await imported(at, { ...completed(1), fractal: uuid })
    at.runWorker()
    assert.is((await at.outcome(await at.request({}))).type, 'TaskCompleted')
    await until(
      async () => {
        const depth = await readQueue(at.connection)
        return depth?.waiting === 0 && depth.inHand === 0
      },
      { what: 'nothing is in the queue' },
    )
    assert.equal(await at.attempts({ uuid, generation: 1 }), [])
  }))

test('an import that nobody knows of, and a log that does not answer, are waited for', async () => {
  const request = recordedAs(requestOf(v4()), 1) as Request
  const logger = createLogger('test', { logLevel: 'silent' })
  const away = async () => {
    throw new FaafoError('log-unavailable', 'cannot read the log: the broker did not answer')
  }
  const [yes, no] = [async () => true, async () => false]
  for (const [isClosed, isOver, type] of [
    [no, no, 'nak'],
    [no, yes, null],
    [yes, no, 'ack'],
    [away, yes, 'nak'],
    [yes, away, 'nak'],
  ] as const) {
    const settle = importedTasks({ attempts: { isClosed }, imports: { isOver }, logger })
    assert.is((await settle(request, importid))?.type ?? null, type)
  }
})

test.run()
