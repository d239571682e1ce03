import { Buffer } from 'node:buffer'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import type { FractalParams } from '../../events/fractal.ts'
import { bandsOf, renderPng } from '../../services/kernel/render.ts'
import { fileStore } from '../../services/storage/file-store.ts'
import { taskErrorOf } from '../../services/worker/fate.ts'
import { renderIsolated } from '../../services/worker/isolated.ts'
import { createRenderPool, type RenderPool } from '../../services/worker/render-pool.ts'
import type { Rendering } from '../../services/worker/rendering.ts'
import { collect } from '../support/collect.ts'
import { juliaRequest } from '../support/julia-request.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

const uuid = '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11'
const picture = juliaRequest(1200, 900, 200)
/** No pixel of it escapes, and no orbit repeats soon. */
const endless: FractalParams = {
  ...{ width: 1000, height: 1000, iterations: 1_000_000 },
  ...{ xa: -0.1, xb: 0.1, ya: -0.1, yb: 0.1, cx: 0.25, cy: 0 },
}

async function withPool(threads: number, use: (pool: RenderPool) => Promise<void>): Promise<void> {
  const pool = createRenderPool(threads)
  try {
    await use(pool)
  } finally {
    await pool.close()
  }
}

async function read(rendering: Rendering): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of rendering.chunks) chunks.push(chunk)
  rendering.stop()
  return Buffer.concat(chunks)
}

const never = new AbortController().signal

for (const threads of [1, 3]) {
  test(`${threads} threads draw the file that one loop draws, small and large`, () =>
    withPool(threads, async (pool) => {
      for (const params of [picture, { ...picture, width: 90, height: 70 }, { ...picture, iterations: 90_000 }]) {
        const { bytes, result } = await collect(renderPng({ uuid, params }))
        const rendering = await pool.render({ uuid, params }, never)
        assert.ok((await read(rendering)).equals(bytes))
        assert.is(rendering.pixelChecksum(), result.pixelChecksum)
        assert.is(rendering.rows(), params.height)
        assert.ok(rendering.startedAt() < performance.now())
      }
    }))
}

test('the threads go to the picture that came first', () =>
  withPool(2, async (pool) => {
    await read(await pool.render({ uuid, params: picture }, never)) // by then all threads have started
    const first = await pool.render({ uuid, params: { ...picture, height: 2000 } }, never)
    const abort = new AbortController()
    const later = await pool.render({ uuid, params: endless }, abort.signal)
    const ending = read(later).catch((error) => error)
    await read(first)
    // A row of it takes longer than all of the first; were threads shared out in turn, it would have dozens.
    assert.ok(later.rows() <= 6, `${later.rows()} rows were drawn`)
    abort.abort()
    assert.ok(isFaafoError(await ending, 'aborted'))
  }))

test('a picture that nobody reads is not drawn ahead, and keeps nobody waiting', () =>
  withPool(2, async (pool) => {
    const params = { ...picture, height: 4000 }
    const unread = await pool.render({ uuid, params }, never)
    await read(await pool.render({ uuid, params: picture }, never))
    const [band] = bandsOf(params)
    assert.ok(unread.rows() <= 6 * (band?.y1 ?? 0), `${unread.rows()} rows were drawn`)
    unread.stop()
  }))

test('an abort stops a picture that would take hours, also one that waits for its turn', () =>
  withPool(2, async (pool) => {
    const abort = new AbortController()
    const endings = [1, 2, 3].map(async () => {
      const rendering = await pool.render({ uuid, params: endless }, abort.signal)
      return read(rendering).catch((error) => error)
    })
    setImmediate(() => abort.abort())
    for (const error of await Promise.all(endings)) assert.ok(isFaafoError(error, 'aborted'), String(error))
    await read(await pool.render({ uuid, params: picture }, never)) // the threads are free again
  }))

test('an error that is not ours says what it was to the log, and to nobody else', () =>
  withPool(1, async (pool) => {
    const wrong = { ...picture, xa: 1n as unknown as number }
    const renders = [
      pool.render({ uuid, params: wrong }, never),
      pool.render({ uuid, params: { ...wrong, width: 90, height: 70 } }, never),
      renderIsolated({ uuid, params: null as unknown as FractalParams }, never),
    ]
    for (const render of renders) {
      const error = await render.then(read).catch((error) => error)
      assert.match(error.message, /BigInt|null/)
      assert.match(error.stack, /services\/kernel/)
      assert.is(taskErrorOf(error).code, 'internal')
      assert.not.match(taskErrorOf(error).message, /BigInt|null/)
    }
  }))

test('a pool is closed whatever is being drawn', async () => {
  for (const params of [endless, { ...picture, height: 4000 }, { ...picture, xa: 1n as unknown as number }]) {
    let ending: Promise<unknown> = Promise.resolve()
    await withPool(1, async (pool) => {
      ending = read(await pool.render({ uuid, params }, never)).catch((error) => error)
    })
    assert.instance(await ending, Error)
  }
})

test('a picture of a process of its own is whole, also where it is read late', async () => {
  const params = { ...picture, width: 300, height: 200 } // the pipes hold it
  const { bytes } = await collect(renderPng({ uuid, params }))
  const rendering = await renderIsolated({ uuid, params }, never)
  const isRunning = () => process.getActiveResourcesInfo().includes('ProcessWrap')
  await until(() => !isRunning(), { what: 'the process has ended' })
  assert.ok((await read(rendering)).equals(bytes))
})

test('a thousand renders that are aborted at random moments leave nothing behind', () =>
  withTempDir((dir) =>
    withPool(2, async (pool) => {
      const seed = Date.now()
      console.log(`seed ${seed}`)
      const random = seededRandom(seed)
      const images = fileStore(dir)
      const threadsNow = async () => (await readdir('/proc/self/task').catch(() => [])).length
      const whole = await images.put((await pool.render({ uuid, params: picture }, never)).chunks)

      async function abortOne(): Promise<void> {
        const abort = new AbortController()
        const params = random() < 0.5 ? picture : endless
        const timer = setTimeout(() => abort.abort(), random() * 12)
        try {
          const rendering = await pool.render({ uuid, params }, abort.signal)
          try {
            await images.put(rendering.chunks, { signal: abort.signal })
          } finally {
            rendering.stop()
          }
        } catch (error) {
          assert.ok(isFaafoError(error, 'aborted'), String(error))
        } finally {
          clearTimeout(timer)
        }
      }

      for (let n = 0; n < 800; n++) await abortOne() // by then everything is warm, the allocator too
      const threads = await threadsNow()
      // What is left behind each time grows in every round; what the allocator keeps for later does not.
      const grown: number[] = []
      while (grown.length < 2 || (Math.min(...grown) >= 32 && grown.length < 6)) {
        const resident = process.memoryUsage().rss
        for (let n = 0; n < 500; n++) await abortOne()
        grown.push(Math.round((process.memoryUsage().rss - resident) / 2 ** 20))
      }
      await until(async () => (await threadsNow()) <= threads, { what: 'no thread is left behind' })
      assert.ok(Math.min(...grown) < 32, `every round of 500 left some memory behind, in MiB: ${grown.join(', ')}`)
      assert.equal(await readdir(join(dir, 'tmp')), [])

      const again = await images.put((await pool.render({ uuid, params: picture }, never)).chunks)
      assert.equal(again, whole)
    }),
  ))

test.run()
