import { getEventListeners } from 'node:events'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError } from '../../events/errors.ts'
import { createLogger } from '../../services/platform/logger.ts'
import { listen, type WorkerPresence } from '../../services/platform/presence.ts'
import type { ImageStore } from '../../services/storage/image-store.ts'
import { watchTrouble } from '../../services/worker/trouble.ts'
import { until } from '../support/until.ts'
import { withWorkplace } from './workplace.ts'

/** A store that can be switched off. */
function switchable(images: ImageStore) {
  let off = false
  let puts = 0
  const whileOn = () => {
    if (off) throw new FaafoError('storage-unavailable', 'cannot store the image: switched off')
  }
  const store: ImageStore = {
    ...images,
    async put(chunks, options) {
      puts++
      whileOn()
      return images.put(chunks, options)
    },
    async check() {
      whileOn()
      return images.check()
    },
  }
  return {
    store,
    puts: () => puts,
    turn(on: boolean) {
      off = !on
    },
  }
}

test('while the storage is down a worker takes no work and counts nothing; then it goes on where it was', () =>
  withWorkplace(async (at) => {
    const presences: WorkerPresence[] = []
    void listen<WorkerPresence>(at.connection, at.connection.names.presence('*'), (p) => presences.push(p))
    const images = switchable(at.images)
    images.turn(false)
    at.runWorker({ images: images.store })
    const requests = await Promise.all(Array.from({ length: 100 }, () => at.request({})))
    await until(() => presences.some((p) => p.state === 'blocked'), { what: 'the worker says that it is blocked' })
    const blocked = presences.find((p) => p.state === 'blocked')
    assert.is(blocked?.reason, 'cannot store the image: switched off')
    assert.ok((blocked?.tasks.length ?? 0) >= 1)
    const { length } = presences
    await until(() => presences.length > length, { what: 'the next presence' })
    assert.ok(images.puts() <= 64, 'no more was taken')
    images.turn(true)
    for (const request of requests) {
      assert.is((await at.outcome(request)).type, 'TaskCompleted')
      assert.equal(
        (await at.attempts(request)).map((e) => e.type),
        ['TaskStarted'],
      )
    }
    await until(() => presences.at(-1)?.state === 'working', { what: 'the worker says that it works' })
  }))

test('a broker that is killed and comes back finds the work done, and nothing counted', () =>
  withWorkplace(async (at) => {
    const first = await at.request({ width: 256, height: 256 })
    const others = await Promise.all(Array.from({ length: 40 }, () => at.request({ width: 256, height: 256 })))
    const end = at.runWorker()
    await until(async () => (await at.attempts(first)).length > 0, { what: 'it has begun' })
    await at.broker.kill()
    await at.broker.restart()
    for (const request of [first, ...others]) {
      assert.is((await at.outcome(request)).type, 'TaskCompleted')
      assert.is((await at.attempts(request)).filter((e) => e.type === 'TaskAttemptFailed').length, 0)
    }
    await end()
  }))

test('a worker that is stopped while its broker is away ends', () =>
  withWorkplace(async (at) => {
    const request = await at.request({})
    const end = at.runWorker({ graceMs: 100 })
    await at.outcome(request)
    await at.broker.kill()
    await end()
  }))

test('what fails again although all looks well is tried ever later, and leaves no listener behind', async () => {
  const { signal } = new AbortController()
  const logger = createLogger('test', { logLevel: 'silent' })
  const trouble = watchTrouble({ check: async () => {}, logger, signal })
  const triedAt: number[] = []
  const result = await trouble.outlast(async () => {
    triedAt.push(performance.now())
    if (triedAt.length < 4) throw new FaafoError('storage-full', 'cannot store the image: no space left')
    return 'stored'
  }, signal)
  assert.is(result, 'stored')
  const waits = triedAt.slice(1).map((at, k) => Math.round(at - (triedAt[k] as number)))
  const [, second = 0, third = 0] = waits
  assert.ok(second >= 990 && third >= 1990, `waited ${waits.join(', ')} ms`)
  assert.is(getEventListeners(signal, 'abort').length, 0)
})

test.run()
