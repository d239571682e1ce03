import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FractalParams } from '../../events/fractal.ts'
import { pixelChecksumOf } from '../../services/kernel/decode.ts'
import type { RenderProgress } from '../../services/platform/presence.ts'
import { listen } from '../../services/platform/presence.ts'
import { root } from '../support/project.ts'
import { until } from '../support/until.ts'
import { type Outcome, picture, slowPicture, type WorkerOptions, type Workplace, withWorkplace } from './workplace.ts'

const golden: (FractalParams & { rgb_sha256: string })[] = JSON.parse(
  readFileSync(join(root, 'test/golden/julia.json'), 'utf8'),
)

function completed(outcome: Outcome) {
  if (outcome.type !== 'TaskCompleted') assert.unreachable(`${outcome.type}: ${JSON.stringify(outcome.data)}`)
  return outcome.data as Extract<Outcome, { type: 'TaskCompleted' }>['data']
}

function failed(outcome: Outcome) {
  if (outcome.type !== 'TaskFailed') assert.unreachable(outcome.type)
  return outcome.data as Extract<Outcome, { type: 'TaskFailed' }>['data']
}

async function pngOf({ images }: Workplace, key: string): Promise<Buffer> {
  const image = await images.get(key)
  const chunks: Uint8Array[] = []
  for await (const chunk of image?.body ?? []) chunks.push(chunk)
  return Buffer.concat(chunks)
}

test('requests become images with the golden pixels, stored under their checksums', () =>
  withWorkplace(async (at) => {
    at.runWorker()
    const cases = golden.filter((g) => g.width * g.height * g.iterations <= 3e8)
    const requests = await Promise.all(cases.map(({ rgb_sha256: _, ...params }) => at.request(params)))
    for (const [i, request] of requests.entries()) {
      const data = completed(await at.outcome(request))
      assert.is(data.pixelChecksum, cases[i]?.rgb_sha256)
      assert.is(data.imageKey, data.checksum)
      assert.is(data.generatedBy, 'here')
      assert.is(data.started, 1)
      const png = await pngOf(at, data.imageKey)
      assert.is(createHash('sha256').update(png).digest('hex'), data.checksum)
      assert.is(png.length, data.size)
      assert.is(pixelChecksumOf(png), data.pixelChecksum)
      assert.equal(
        (await at.attempts(request)).map((e) => e.type),
        ['TaskStarted'],
      )
    }
  }))

test('two workers that race for a task leave one outcome, and both are done with it', () =>
  withWorkplace(async (at) => {
    const request = await at.request({})
    let open = () => {}
    const gate = new Promise<void>((done) => {
      open = done
    })
    const hold: WorkerOptions['render'] = (render) => async (job, signal) => {
      await gate
      return render(job, signal)
    }
    const ends = ['one', 'two'].map((name) => at.runWorker({ name, render: hold }))
    await until(
      async () => {
        await at.forgetDeliveries()
        return (await at.attempts(request)).length === 2
      },
      { what: 'both have begun', everyMs: 500 },
    )
    open()
    completed(await at.outcome(request))
    await until(async () => (await pendingAcks(at)) === 0, { what: 'every delivery is settled' })
    for (const end of ends) await end()
    assert.equal(
      (await at.log.history(request.uuid)).map((e) => e.type),
      ['TaskRequested', 'TaskStarted', 'TaskStarted', 'TaskCompleted'],
    )
  }))

test('a cancelled render stops, tells no outcome of its own, and the worker goes on with others', () =>
  withWorkplace(async (at) => {
    const progress: RenderProgress[] = []
    void listen<RenderProgress>(at.connection, at.connection.names.progress('*'), (p) => progress.push(p))
    at.runWorker()
    const slow = await at.request(slowPicture(1e12)) // keeps all threads busy
    await until(() => progress.length > 3, { what: 'progress is reported' })
    assert.is(progress[0]?.total, 1000)
    const waiting = await at.request({})
    await at.append({ type: 'TaskCancelled', fractal: slow.uuid, data: { generation: 1, reason: 'test' } })
    completed(await at.outcome(waiting))
    assert.is((await at.outcome(slow)).type, 'TaskCancelled')
    assert.is((await at.attempts(slow)).length, 1)
  }))

test('a task that was removed, or cancelled, before its turn is dropped', () =>
  withWorkplace(async (at) => {
    const removed = await at.request(slowPicture(1e12), { generation: 2 })
    const cancelled = await at.request(slowPicture(1e12))
    await at.append({ type: 'TaskDeleted', fractal: removed.uuid, data: {} })
    await at.append({ type: 'TaskCancelled', fractal: cancelled.uuid, data: { generation: 1, reason: 'test' } })
    at.runWorker()
    completed(await at.outcome(await at.request({})))
    assert.is(await at.log.read(at.connection.names.outcome(removed.uuid, 2)), null)
    await until(async () => (await pendingAcks(at)) === 0, { what: 'every message is settled' })
  }))

test('a task that goes on failing is tried again after a while, and fails with the reason', () =>
  withWorkplace(async (at) => {
    const request = await at.request({})
    // Four failures stand in the log already, so that the test does not wait for their backoffs.
    for (let entry = 1; entry <= 8; entry += 2) {
      const common = { generation: 1, worker: 'other' }
      await at.append({ type: 'TaskStarted', fractal: request.uuid, data: { ...common, entry, isolated: false } })
      const error = { code: 'internal', message: 'before' }
      await at.append({
        type: 'TaskAttemptFailed',
        fractal: request.uuid,
        data: { ...common, entry: entry + 1, started: entry, error, counted: true },
      })
    }
    const fresh = await at.request({})
    let tries = 0
    at.runWorker({
      render: () => async () => {
        tries++
        throw new Error('a text for nobody')
      },
    })
    const data = failed(await at.outcome(request))
    assert.is(data.attempts, 5)
    assert.is(data.error.code, 'internal')
    assert.not.match(data.error.message, /nobody/)
    await until(async () => (await at.attempts(fresh)).length >= 4, { what: 'the other one was tried twice' })
    assert.ok(tries >= 3)
  }))

test('an image that is mended must have its old pixels; with others the task fails', () =>
  withWorkplace(async (at) => {
    at.runWorker()
    const { pixelChecksum } = completed(await at.outcome(await at.request(picture)))
    const mend = { cause: 'image-lost' as const, generation: 2 }
    const right = await at.request(picture, { ...mend, expectedPixelChecksum: pixelChecksum })
    assert.is(completed(await at.outcome(right)).pixelChecksum, pixelChecksum)
    const wrong = await at.request(picture, { ...mend, expectedPixelChecksum: 'a'.repeat(64) })
    const { error } = failed(await at.outcome(wrong))
    assert.is(error.code, 'image-lost')
    assert.match(error.message, /^cannot mend the image: its pixels were a{64}, those rendered now are /)
  }))

test('a task that is delivered again while it is in hand is not rendered twice', () =>
  withWorkplace(async (at) => {
    at.runWorker()
    const request = await at.request(slowPicture(6e9))
    await until(async () => (await at.attempts(request)).length === 1, { what: 'it has begun' })
    await at.forgetDeliveries()
    completed(await at.outcome(request))
    await until(async () => (await pendingAcks(at)) === 0, { what: 'the second delivery is settled' })
    assert.is((await at.attempts(request)).length, 1)
  }))

test('an unreadable message keeps nobody from working', () =>
  withWorkplace(async (at) => {
    await at.connection.nc().jetstream().publish(at.connection.names.requested(v4(), 1), 'not an event')
    at.runWorker()
    completed(await at.outcome(await at.request({})))
  }))

async function pendingAcks(at: Workplace): Promise<number> {
  const jsm = await at.connection.nc().jetstreamManager()
  const { names } = at.connection
  const info = await jsm.consumers.info(names.stream, names.renderConsumer).catch(() => null)
  return info === null ? -1 : info.num_ack_pending + info.num_pending
}

test.run()
