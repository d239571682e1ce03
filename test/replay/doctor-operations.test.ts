import { randomUUID } from 'node:crypto'
import { AckPolicy, DeliverPolicy } from 'nats'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isOver } from '../../events/operation.ts'
import { runOperator } from '../../services/operator/operator.ts'
import { isAtLeast } from '../../services/platform/broker.ts'
import { identify } from '../../services/platform/identity.ts'
import { loadOperation, operationQueue, operationsOf } from '../../services/platform/operations.ts'
import { operateQueueOf, readQueue } from '../../services/platform/queue-consumer.ts'
import { answerRollCall } from '../../services/platform/roll-call.ts'
import { withAdministration } from '../platform/with-log.ts'
import { until } from '../support/until.ts'
import { type Clinic, withClinic } from './clinic.ts'

const [STREAM, OPERATE] = ['FAAFO', 'operate']
const MEND = 'faafo replay doctor --mend'

/** A system with a projector and bulk operations, and operators as they are asked for. */
const withOperations = (
  use: (p: Clinic & { operators: ReturnType<typeof operatorsOf> }) => Promise<void>,
): Promise<void> =>
  withClinic(async (p) => {
    p.start()
    const operators = operatorsOf(p)
    try {
      await p.healthy()
      await use({ ...p, operators })
    } finally {
      await operators.end()
    }
  })

function operatorsOf({ parts }: Clinic) {
  const { broker } = parts
  const operations = operationsOf(broker)
  let end = async () => {}
  return {
    end: () => end(),
    start(): void {
      const stop = new AbortController()
      const self = { service: 'operator', id: randomUUID(), name: 'h', host: 'h', version: '0.1.0' } as const
      answerRollCall(broker, () => self, stop.signal)
      const queue = operationQueue(broker, parts.logger)
      const running = runOperator({ ...parts, operations, queue, source: '/test' }, stop.signal)
      end = async () => {
        stop.abort()
        await running
      }
    },
    async request(): Promise<string> {
      const data = { action: 'cancel' as const, filters: [], rate: null, upTo: null }
      const event = { type: 'OperationRequested' as const, aggregate: v4(), version: 1, data }
      await operations.append(identify(event, '/test'), { withinMs: 10_000 })
      return event.aggregate
    },
    over: (id: string) =>
      until(
        async () => {
          const operation = await loadOperation(operations, id).catch(() => null)
          return operation !== null && isOver(operation)
        },
        { what: `operation ${id} is over`, withinMs: 60_000 },
      ),
  }
}

test('operations that nobody carries out are found, and the consumer that is missing is made', () =>
  withOperations(async (p) => {
    const id = await p.operators.request()
    assert.equal(
      (await p.ailing()).map(({ check, severity, found, remedy }) => [check, severity, found, remedy]),
      [
        ['operation-queue', 'warning', 'the consumer operate is missing; an operator makes it', MEND],
        [
          'operators',
          'wrong',
          'operations wait or are in hand (1), and nobody answers who carries them out',
          'faafo operator',
        ],
      ],
    )
    await p.doctor({ mend: true })
    assert.is((await p.finding('operators')).remedy, 'faafo operator')
    p.operators.start()
    await p.operators.over(id)
    await p.healthy()
    await p.operators.end()
    await p.healthy()
  }))

test('a queue of operations that gives them up is made anew, and what it gave up is carried out', () =>
  withOperations(async (p) => {
    await withAdministration(p.server.url, async (jsm) => {
      await jsm.consumers.add(STREAM, {
        ...{ durable_name: OPERATE, ack_policy: AckPolicy.Explicit, deliver_policy: DeliverPolicy.All, ack_wait: 10e9 },
        ...{ max_deliver: 1, max_ack_pending: -1, filter_subject: 'faafo.operation.*.1' },
      })
    })
    const id = await p.operators.request()
    const consumer = await p.parts.broker.nc().jetstream().consumers.get(STREAM, OPERATE)
    ;(await consumer.next())?.nak()
    p.operators.start()
    const finding = await p.finding('operation-queue')
    assert.is(finding.found, 'max_deliver is 1 instead of -1: requests are given up, unrecorded')
    const { stderr } = await p.carryOut(finding)
    assert.match(stderr, /^operation-queue mended: makes the queue anew, which sets max_deliver to -1\n/)
    await p.operators.over(id)
    await p.healthy()
  }))

test('a queue of operations that somebody paused is resumed', () =>
  withOperations(async (p) => {
    if (!isAtLeast(p.server.version, '2.11.0')) return
    p.operators.start()
    const queue = () => readQueue(p.parts.broker, operateQueueOf(p.parts.broker.names))
    await until(async () => (await queue()) !== null, { what: 'the operator has made it' })
    await withAdministration(p.server.url, async (jsm) => {
      await jsm.consumers.pause(STREAM, OPERATE, new Date(Date.now() + 3_600_000))
    })
    const id = await p.operators.request()
    const finding = await p.finding('operation-queue')
    assert.is(finding.found, 'somebody has paused it: nothing is delivered')
    await p.carryOut(finding)
    await p.operators.over(id)
    await p.healthy()
  }))

test('an operation that the queue has passed although it has no end is found, and carried out after all', () =>
  withOperations(async (p) => {
    p.operators.start()
    const before = await p.operators.request()
    await p.operators.over(before)
    await p.operators.end()
    const id = await p.operators.request()
    const consumer = await p.parts.broker.nc().jetstream().consumers.get(STREAM, OPERATE)
    ;(await consumer.next())?.ack()
    const finding = await p.finding('operations')
    assert.is(finding.severity, 'wrong')
    assert.is(finding.found, `the queue has passed operations that have no end: ${id}; no operator will take them`)
    const { stderr } = await p.carryOut(finding)
    assert.match(stderr, /^operations mended: makes the queue anew: every operation is delivered once more/)
    p.operators.start()
    await p.operators.over(id)
    await p.healthy()
  }))

test.run()
