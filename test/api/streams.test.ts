import process from 'node:process'
import { Hono } from 'hono'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createMetrics } from '../../services/api/metrics.ts'
import { problemResponse } from '../../services/api/problems.ts'
import { type Chunk, createStreams, frameOf } from '../../services/api/streams.ts'
import { aborted } from '../../services/platform/shutdown.ts'
import { until } from '../support/until.ts'

type Source = (signal: AbortSignal) => AsyncGenerator<Chunk, void, undefined>

function appOf(source: Source, limits: Parameters<typeof createStreams>[2] = {}) {
  const stop = new AbortController()
  const metrics = createMetrics({ ofProcess: false })
  const streams = createStreams(stop.signal, metrics, limits)
  const app = new Hono()
  app.get('/', (c) => streams.open(c, '7', source))
  app.onError((error) => problemResponse(error))
  const open = async () => (await metrics.streams.get()).values[0]?.value
  return { app, stop, open }
}

async function* nothing(signal: AbortSignal): AsyncGenerator<Chunk> {
  await aborted(signal)
  yield* []
}

test('where nothing is for a client it hears its place now and then', async () => {
  async function* passing(signal: AbortSignal): AsyncGenerator<Chunk> {
    yield { cursor: '9', frames: [] }
    yield* nothing(signal)
  }
  const { app, open } = appOf(passing, { heartbeatMs: 50 })
  const reader = (await app.request('/')).body?.pipeThrough(new TextDecoderStream()).getReader()
  assert.is((await reader?.read())?.value, 'retry: 1000\nid: 7\n\n')
  assert.is((await reader?.read())?.value, ':\nid: 9\n\n')
  assert.is(await open(), 1)
  await reader?.cancel()
  assert.is(await open(), 0)
})

test('nothing is asked of a source before the client takes what there was; one that takes nothing is dropped', async () => {
  let asked = 0
  let left = false
  async function* endless(): AsyncGenerator<Chunk> {
    try {
      for (; ; asked++) yield { cursor: String(asked), frames: [frameOf('x', String(asked), 'y'.repeat(1_000))] }
    } finally {
      left = true
    }
  }
  const { app, open } = appOf(endless, { slowMs: 200 })
  const response = await app.request('/')
  const reader = response.body?.getReader()
  for (let i = 0; i < 10; i++) await reader?.read()
  assert.ok(asked <= 10, String(asked))
  await until(async () => (await open()) === 0, { what: 'it is dropped' })
  await until(() => left, { what: 'its source is left' })
  assert.ok(asked <= 11, String(asked))
  const error = await reader?.read().catch((error) => error)
  assert.match(String(error), /takes nothing/)
})

test('a source that fails in a way that is not ours breaks the stream off, and is counted no more', async () => {
  async function* broken(): AsyncGenerator<Chunk> {
    yield { cursor: '8', frames: [] }
    throw new TypeError('a mistake of ours')
  }
  const { app, open } = appOf(broken)
  const error = await (await app.request('/')).text().catch((error) => error)
  assert.match(String(error), /a mistake of ours/)
  assert.is(await open(), 0)
})

test('a hundred streams are nothing that the runtime warns of', async () => {
  const warnings: Error[] = []
  const onWarning = (warning: Error) => void warnings.push(warning)
  process.on('warning', onWarning)
  const { app, stop, open } = appOf(nothing)
  const texts = await Promise.all(
    Array.from({ length: 100 }, async () => (await app.request('/')).text()).concat(later()),
  )
  async function later(): Promise<string> {
    await until(async () => (await open()) === 100, { what: 'all are open' })
    stop.abort()
    return ''
  }
  process.off('warning', onWarning)
  assert.is(texts.length, 101)
  assert.equal(warnings, [])
  assert.is(await open(), 0)
})

test('there are no more than so many at once, and a HEAD is none of them', async () => {
  const { app, stop, open } = appOf(nothing, { most: 2 })
  assert.is((await app.request('/', { method: 'HEAD' })).status, 200)
  const responses = [await app.request('/'), await app.request('/')]
  const refused = await app.request('/')
  assert.equal([refused.status, refused.headers.get('retry-after')], [503, '5'])
  assert.match(await refused.text(), /serves 2 already/)
  await responses[0]?.body?.cancel()
  assert.is((await app.request('/')).status, 200)
  stop.abort()
  await responses[1]?.text()
  await until(async () => (await open()) === 1, { what: 'the one that nobody reads is left' })
})

test.run()
