import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FractalParams } from '../../events/fractal.ts'
import { decodePng, pixelChecksumOf } from '../../services/kernel/decode.ts'
import { openDrawing } from '../../services/kernel/drawing.ts'
import { plainDrawing } from '../../services/kernel/julia.ts'
import { renderPng } from '../../services/kernel/render.ts'
import { simdDrawing } from '../../services/kernel/simd-drawing.ts'
import { collect } from '../support/collect.ts'
import { drawRows, rgbOf } from '../support/draw-rows.ts'
import { root } from '../support/project.ts'

type Vector = FractalParams & { rgb_sha256: string; first_row_rgb_sha256: string }
const vectors: Vector[] = JSON.parse(readFileSync(join(root, 'test/golden/julia.json'), 'utf8'))

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

const drawings = [
  { name: 'in plain TypeScript', open: plainDrawing },
  { name: 'in WebAssembly', open: simdDrawing },
]

for (const vector of vectors) {
  const name = `${vector.width} × ${vector.height}, ${vector.iterations} iterations`

  for (const { name: how, open } of drawings) {
    test(`the golden picture ${name} is drawn bit for bit ${how}`, () => {
      const rgb = rgbOf(drawRows(vector, 0, vector.height, { open }))
      assert.is(sha256(rgb.subarray(0, vector.width * 3)), vector.first_row_rgb_sha256)
      assert.is(sha256(rgb), vector.rgb_sha256)
    })
  }

  test(`the golden picture ${name} survives its PNG`, async () => {
    const { bytes, result } = await collect(renderPng({ uuid: null, params: vector }))
    assert.is(result.pixelChecksum, vector.rgb_sha256)
    assert.is(pixelChecksumOf(bytes), vector.rgb_sha256)
    const { width, height, rgb } = decodePng(bytes)
    assert.equal([width, height], [vector.width, vector.height])
    assert.is(sha256(rgb.subarray(0, width * 3)), vector.first_row_rgb_sha256)
  })
}

const bound = fc.double({ min: -3, max: 3, noNaN: true })
const anyParams = fc.record({
  width: fc.integer({ min: 2, max: 40 }),
  height: fc.integer({ min: 2, max: 40 }),
  iterations: fc.integer({ min: 1, max: 200 }),
  xa: bound,
  xb: bound,
  ya: bound,
  yb: bound,
  cx: bound,
  cy: bound,
})

test('the picture is what the formula says, one pixel at a time', () => {
  fc.assert(
    fc.property(anyParams, fc.nat(), fc.nat(), (p, someX, someY) => {
      const x = someX % p.width
      const y = someY % p.height
      let re = (x * (p.xb - p.xa)) / (p.width - 1) + p.xa
      let im = (y * (p.yb - p.ya)) / (p.height - 1) + p.ya
      let stopped = p.iterations - 1
      for (let i = 0; i < p.iterations; i++) {
        if (re * re + im * im > 4) {
          stopped = i
          break
        }
        ;[re, im] = [re * re - im * im + p.cx, re * im + im * re + p.cy]
      }
      const pixel = drawRows(p, y, y + 1).subarray(x, x + 1)
      assert.equal([...rgbOf(pixel)], [(stopped % 8) * 32, (stopped % 16) * 16, (stopped % 32) * 8])
    }),
  )
})

for (const { name: how, open } of [...drawings.slice(0, 1), { name: 'as it comes', open: openDrawing }]) {
  test(`rows are the same wherever the picture is split, drawn ${how}`, () => {
    fc.assert(
      fc.property(anyParams, fc.array(fc.nat(), { maxLength: 5 }), (p, cuts) => {
        const whole = drawRows(p, 0, p.height)
        const edges = [0, ...cuts.map((cut) => cut % (p.height + 1)).sort((a, b) => a - b), p.height]
        const parts = edges.slice(1).map((y1, k) => drawRows(p, edges[k] ?? 0, y1, { open }))
        assert.equal(Buffer.concat(parts), Buffer.from(whole))
      }),
    )
  })

  test(`pixels are the same however few iterations are run at a time, drawn ${how}`, () => {
    fc.assert(
      fc.property(anyParams, fc.integer({ min: 1, max: 5000 }), (p, steps) => {
        assert.equal(drawRows(p, 0, p.height, { open, steps }), drawRows(p, 0, p.height))
      }),
    )
  })
}

test('a reversed window is the picture upside down', () => {
  const up: FractalParams = { width: 33, height: 20, iterations: 90, xa: -1, xb: 1, ya: -1, yb: 1, cx: -0.4, cy: 0.6 }
  const down = { ...up, xa: up.xb, xb: up.xa, ya: up.yb, yb: up.ya }
  // The Julia set is symmetric about 0, so that turning the window half round changes nothing but rounding.
  const a = drawRows(up, 0, 20)
  const b = drawRows(down, 0, 20).reverse()
  const same = a.filter((index, k) => index === b[k]).length
  assert.ok(same > a.length * 0.98, `${same} of ${a.length} pixels are the same`)
})

test('a window without width is columns of one colour', () => {
  const params = { width: 7, height: 9, iterations: 50, xa: 0.3, xb: 0.3, ya: -1, yb: 1, cx: -0.4, cy: 0.6 }
  const indices = drawRows(params, 0, 9)
  for (let y = 0; y < 9; y++) {
    assert.is(new Set(indices.subarray(y * 7, y * 7 + 7)).size, 1)
  }
})

test('a spent budget of iterations stops within a row', () => {
  const inside = { width: 16_384, height: 2, iterations: 1_000_000, xa: 0, xb: 0, ya: 0, yb: 0, cx: 0, cy: 0 }
  const drawing = plainDrawing(inside)
  drawing.begin(0, 1)
  assert.is(drawing.run(2_500_000), -500_003)
})

test.run()
