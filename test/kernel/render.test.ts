import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import type { FractalParams } from '../../events/fractal.ts'

import { type Band, bandsOf, drawBand, renderPng } from '../../services/kernel/render.ts'
import { collect } from '../support/collect.ts'
import { drawRows } from '../support/draw-rows.ts'
import { juliaRequest } from '../support/julia-request.ts'

const quick = juliaRequest(700, 500, 60)

/** No pixel of it ever escapes, and no orbit repeats soon: 5 × 10¹² iterations in all, 16 × 10⁹ in one row. */
const endless: FractalParams = {
  width: 16_384,
  height: 300,
  iterations: 1_000_000,
  xa: 0,
  xb: 0.1,
  ya: 0,
  yb: 0.1,
  cx: 0.25,
  cy: 0,
}

/** A band in one go, and how often it paused. */
function draw(params: FractalParams, band: Band): { indices: Uint8Array; pauses: number } {
  const indices = new Uint8Array((band.y1 - band.y0) * params.width)
  const drawing = drawBand(params, band, indices)
  for (let pauses = 0; ; pauses++) if (drawing.next().done) return { indices, pauses }
}

test('the bands follow each other, are whole rows and make up the picture', () => {
  for (const params of [
    quick,
    { ...quick, width: 3, height: 16_384 },
    { ...quick, width: 16_384, height: 5, iterations: 900 },
    { ...quick, width: 2, height: 2 },
  ]) {
    let y = 0
    for (const band of bandsOf(params)) {
      assert.is(band.y0, y)
      assert.ok(band.y1 > band.y0)
      assert.equal(draw(params, band).indices, drawRows(params, band.y0, band.y1))
      y = band.y1
    }
    assert.is(y, params.height)
  }
})

test('a band is small where its rows may take long', () => {
  for (const [params, rows] of [
    [{ ...quick, width: 1000, iterations: 100 }, 65],
    [{ ...quick, width: 1000, iterations: 100_000 }, 10],
    [{ ...quick, width: 10_000, iterations: 1_000_000 }, 1],
  ] as const) {
    const [first] = bandsOf(params)
    assert.equal(first, { y0: 0, y1: rows })
  }
})

test('a row that takes long pauses within itself, and comes out right all the same', () => {
  // At most 20 million iterations are run in one go, so that 20 pixels of a million each take several.
  for (const params of [
    { ...endless, width: 20, height: 4 },
    { ...endless, cx: -2.1, cy: 0.001, width: 9, height: 3, xa: 1.9, xb: 2 }, // not for SIMD
  ]) {
    const { indices, pauses } = draw(params, { y0: 0, y1: params.height })
    assert.equal(indices, drawRows(params, 0, params.height))
    if (params.cx === endless.cx) assert.ok(pauses >= 2, `${pauses} pauses`)
  }
})

test('progress never falls and ends at the last row', async () => {
  const seen: number[] = []
  await collect(
    renderPng(
      { uuid: null, params: quick },
      {
        onRows: (done, total) => {
          assert.is(total, quick.height)
          seen.push(done)
        },
      },
    ),
  )
  assert.ok(seen.length > 3)
  assert.equal(
    seen,
    [...seen].sort((a, b) => a - b),
  )
  assert.is(seen.at(-1), quick.height)
})

test('an abort is obeyed where whole rows are ready, too', async () => {
  const abort = new AbortController()
  let rows = 0
  const onRows = (done: number) => {
    rows = done
    if (rows > 1000) abort.abort()
  }
  const job = { uuid: null, params: { ...quick, height: 10_000 } }
  const error = await collect(renderPng(job, { signal: abort.signal, onRows })).catch((e) => e)
  assert.ok(isFaafoError(error, 'aborted'), String(error))
  assert.ok(rows < 1200, `${rows} rows were rendered`)
})

test('an abort signal given in the same thread stops an endless render', async () => {
  const abort = new AbortController()
  const render = collect(renderPng({ uuid: null, params: endless }, { signal: abort.signal })).catch((e) => e)
  setImmediate(() => abort.abort(new Error('enough')))
  const error = await render
  assert.ok(isFaafoError(error, 'aborted'), String(error))
  assert.is((error.cause as Error).message, 'enough')
})

test('a render that was stopped before it began does nothing', async () => {
  const error = await collect(renderPng({ uuid: null, params: endless }, { signal: AbortSignal.abort() })).catch(
    (e) => e,
  )
  assert.ok(isFaafoError(error, 'aborted'), String(error))
})

test('the same request gives the same file', async () => {
  const first = await collect(renderPng({ uuid: null, params: quick }))
  const second = await collect(renderPng({ uuid: null, params: quick }))
  assert.ok(first.bytes.equals(second.bytes))
  assert.is(first.result.pixelChecksum, second.result.pixelChecksum)
})

test('memory does not grow with the picture', async () => {
  // 67 million pixels: 64 MiB as indices, 192 MiB as RGB.
  const params = { ...quick, width: 8192, height: 8192, iterations: 2 }
  const before = process.memoryUsage()
  let buffers = 0
  let resident = 0
  const onRows = () => {
    const now = process.memoryUsage()
    buffers = Math.max(buffers, now.arrayBuffers - before.arrayBuffers)
    resident = Math.max(resident, now.rss - before.rss)
  }
  for await (const piece of renderPng({ uuid: null, params: params }, { onRows })) assert.ok(piece.length < 1024 * 1024)
  assert.ok(buffers < 48 * 2 ** 20, `${Math.round(buffers / 2 ** 20)} MiB of buffers`)
  assert.ok(resident < 128 * 2 ** 20, `${Math.round(resident / 2 ** 20)} MiB resident`)
})

test.run()
