import { existsSync, readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ACK_WAIT_MS } from '../../services/platform/queue-consumer.ts'
import { until } from '../support/until.ts'
import { picture, slowPicture, type Workplace, withWorkplace } from './workplace.ts'

const started = (at: Workplace, request: { uuid: string; generation: number }) =>
  until(async () => (await at.attempts(request)).length > 0, { what: 'the render has begun' })

test('a worker killed in the middle of a render: another finishes the task, alone, and nothing is counted', () =>
  withWorkplace(async (at) => {
    const first = await at.startWorker({ WORKER_NAME: 'first' })
    const request = await at.request(slowPicture(3e9))
    await started(at, request)
    await first.end('SIGKILL')
    await at.startWorker({ WORKER_NAME: 'second' })
    const outcome = await at.outcome(request)
    if (outcome.type !== 'TaskCompleted') return assert.unreachable(outcome.type)
    assert.is(outcome.data.generatedBy, 'second')
    assert.is(outcome.data.started, 2)
    assert.equal(
      (await at.attempts(request)).map((e) => e.type === 'TaskStarted' && e.data.isolated),
      [false, true],
    )
  }))

test('a stopped worker hands its renders back at once, uncounted, and ends', () =>
  withWorkplace(async (at) => {
    const first = await at.startWorker({ WORKER_NAME: 'first' })
    const request = await at.request(slowPicture(1e12))
    await started(at, request)
    const second = await at.startWorker({ WORKER_NAME: 'second' })
    await first.end('SIGTERM')
    const [, end] = await at.attempts(request)
    if (end?.type !== 'TaskAttemptFailed') return assert.unreachable(end?.type)
    assert.is(end.data.counted, false)
    assert.is(end.data.error.code, 'aborted')
    await until(async () => (await at.attempts(request)).length === 3, { what: 'another one begins' })
    const again = (await at.attempts(request))[2]
    assert.is(again?.type === 'TaskStarted' && again.data.isolated, false)
    assert.ok((again?.recordedAt ?? 0) - end.recordedAt < ACK_WAIT_MS, 'the ack wait is not awaited')
    await second.end('SIGKILL')
  }))

test('a worker whose supervisor is gone ends by itself', () =>
  withWorkplace(async (at) => {
    const worker = await at.startWorker()
    await until(() => worker.output().includes('broker connected'), { what: 'it runs' })
    worker.closeInput()
    await until(() => worker.ended(), { what: 'it ended' })
  }))

test('the process of an isolated render ends with its worker', () =>
  withWorkplace(async (at) => {
    const first = await at.startWorker()
    const request = await at.request(slowPicture(1e12))
    await started(at, request)
    await first.end('SIGKILL')
    await at.forgetDeliveries() // in place of the ack wait
    const second = await at.startWorker()
    const childOf = (pid: number) =>
      readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
        .split(' ')
        .find((child) => child !== '' && readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('isolated-main'))
    await until(() => childOf(second.pid) !== undefined, { what: 'the render has its process' })
    const child = childOf(second.pid) ?? assert.unreachable()
    await second.end('SIGKILL')
    await until(() => !existsSync(`/proc/${child}`), { what: 'that process is gone' })
  }))

test('a picture of 9999 × 9999 pixels takes a bounded amount of memory', () =>
  withWorkplace(async (at) => {
    const worker = await at.startWorker()
    const request = await at.request({ ...picture, width: 9999, height: 9999, iterations: 4 })
    assert.is((await at.outcome(request)).type, 'TaskCompleted')
    const peakKb = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${worker.pid}/status`, 'utf8'))?.[1]
    assert.ok(Number(peakKb) < 400 * 1024, `${peakKb} kB`)
  }))

test.run()
