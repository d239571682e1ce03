import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Child } from '../support/child.ts'
import { POISON, POISON_WIDTH } from '../support/poison.ts'
import { until } from '../support/until.ts'
import { withWorkplace } from './workplace.ts'

test('one task that kills its process, among good ones, the broker killed once meanwhile: only that one fails', () =>
  withWorkplace(async (at) => {
    const good = await Promise.all(Array.from({ length: 10 }, () => at.request({})))
    const poison = await at.request({ width: POISON_WIDTH })
    const more = await Promise.all(Array.from({ length: 10 }, () => at.request({})))
    let stopped = false
    let worker: Child | undefined
    const supervisor = (async () => {
      while (!stopped) {
        const child = await at.startWorker({ NODE_OPTIONS: `--import ${POISON}` })
        worker = child
        await until(() => child.ended(), { what: 'the worker ended', withinMs: 120_000 })
      }
    })()
    await until(async () => (await at.attempts(poison)).length > 1, { what: 'the poison has struck', withinMs: 90_000 })
    await at.broker.kill()
    await at.broker.restart()
    const outcome = await at.outcome(poison, 90_000)
    if (outcome.type !== 'TaskFailed') return assert.unreachable(outcome.type)
    assert.is(outcome.data.error.code, 'render-crashed')
    assert.match(outcome.data.error.message, /ended by SIGKILL$/)
    for (const request of [...good, ...more]) assert.is((await at.outcome(request)).type, 'TaskCompleted')
    stopped = true
    await worker?.end('SIGKILL')
    await supervisor
  }))

test.run()
