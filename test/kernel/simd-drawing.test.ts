import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FractalParams } from '../../events/fractal.ts'
import { openDrawing } from '../../services/kernel/drawing.ts'
import { isExactInSimd, simdDrawing } from '../../services/kernel/simd-drawing.ts'
import { drawRows } from '../support/draw-rows.ts'

/** Escape index of every pixel by the formula, `iterations` where there is none. */
function escapes(p: FractalParams): number[] {
  return Array.from({ length: p.width * p.height }, (_, k) => {
    const x = k % p.width
    const y = (k - x) / p.width
    let zx = (x * (p.xb - p.xa)) / (p.width - 1) + p.xa
    let zy = (y * (p.yb - p.ya)) / (p.height - 1) + p.ya
    for (let i = 0; i < p.iterations; i++) {
      const xx = zx * zx
      const yy = zy * zy
      if (xx + yy > 4) return i
      const xy = zx * zy
      zx = xx - yy + p.cx
      zy = xy + xy + p.cy
    }
    return p.iterations
  })
}

function simdEscapes(p: FractalParams, steps: number): number[] {
  const drawing = simdDrawing(p)
  const all: number[] = []
  for (let y = 0; y < p.height; y += drawing.tileRows) {
    drawing.begin(y, Math.min(y + drawing.tileRows, p.height))
    while (drawing.run(steps) <= 0);
    all.push(...drawing.counts().map((count) => Math.min(count, p.iterations)))
  }
  drawing.close()
  return all
}

const holds = (p: FractalParams, steps = Number.POSITIVE_INFINITY) => {
  assert.ok(isExactInSimd(p))
  assert.equal(simdEscapes(p, steps), escapes(p))
}

/** c in the disc where the kernel may be used, near its rim as often as not. */
const constant = fc
  .tuple(fc.double({ min: 0, max: 2 * Math.PI, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean())
  .map(([angle, share, rim]) => {
    const radius = Math.sqrt(3.899) * (rim ? 1 - share ** 8 / 2 : share)
    return { cx: radius * Math.cos(angle), cy: radius * Math.sin(angle) }
  })

/** From the whole set down to windows in which neighbours are the same number, and reversed ones. */
const span = fc
  .tuple(
    fc.double({ min: -2.5, max: 2.5, noNaN: true }),
    fc.double({ min: -17, max: 1, noNaN: true }),
    fc.constantFrom(1, -1, 0),
  )
  .map(([from, magnitude, sign]) => [from, from + sign * 10 ** magnitude] as const)

const anyPicture = (pixels: number, iterations: fc.Arbitrary<number>) =>
  fc
    .record({ width: fc.integer({ min: 2, max: pixels }), height: fc.integer({ min: 2, max: pixels }), iterations })
    .chain((size) => fc.tuple(fc.constant(size), span, span, constant))
    .map(([size, [xa, xb], [ya, yb], c]): FractalParams => ({ ...size, xa, xb, ya, yb, ...c }))

test('every escape index is that of the formula', () => {
  fc.assert(fc.property(anyPicture(45, fc.integer({ min: 1, max: 400 })), fc.integer({ min: 1, max: 20_000 }), holds), {
    numRuns: 400,
  })
})

test('so it is with very many iterations, where orbits come to repeat', () => {
  const many = fc.integer({ min: 1_000, max: 1_000_000 })
  fc.assert(
    fc.property(anyPicture(5, many), (p) => holds(p)),
    { numRuns: 60 },
  )
  // Inside the main cardioid, the disc of period 2 and a bulb of period 3; on the rim, where nothing repeats soon.
  for (const [cx, cy] of [
    [0, 0],
    [-0.1, 0.1],
    [-1, 0],
    [-1.05, 0.05],
    [-0.123, 0.745],
    [0.25, 0],
    [-0.75, 0],
    [-2 + 0.03, 0],
  ] as const) {
    holds({ width: 9, height: 7, iterations: 100_003, xa: -1.2, xb: 1.3, ya: -0.9, yb: 1.1, cx, cy })
  }
})

test('every size of the last group and of the list is right', () => {
  for (let width = 2; width < 40; width++) {
    holds({ width, height: 3, iterations: 77, xa: -1.6, xb: 1.6, ya: -0.2, yb: 0.3, cx: -0.8, cy: 0.156 })
  }
  holds({ width: 16_384, height: 2, iterations: 60, xa: -2, xb: 2, ya: -0.1, yb: 0.1, cx: -0.4, cy: 0.6 })
})

test('a drawing that is given up leaves nothing behind for the next', () => {
  const p = { width: 100, height: 90, iterations: 3_000, xa: -1, xb: 1, ya: -1, yb: 1, cx: -0.123, cy: 0.745 }
  const given = simdDrawing(p)
  given.begin(0, 80)
  assert.ok(given.run(50_000) <= 0)
  given.close()
  holds({ ...p, width: 31 })
})

test('two drawings at a time do not disturb each other', () => {
  const a = { width: 60, height: 50, iterations: 500, xa: -1, xb: 1, ya: -1, yb: 1, cx: -0.123, cy: 0.745 }
  const b = { ...a, width: 70, cx: -0.4, cy: 0.6 }
  const [one, other] = [simdDrawing(a), simdDrawing(b)]
  one.begin(0, 50)
  other.begin(0, 50)
  for (let left = [0, 0]; left.some((n) => n <= 0); ) left = [one.run(999), other.run(999)]
  assert.equal(one.indices(), drawRows(a, 0, 50))
  assert.equal(other.indices(), drawRows(b, 0, 50))
  one.close()
  other.close()
})

test('where it would not be exact, the picture is drawn in plain TypeScript', () => {
  const p = { width: 40, height: 30, iterations: 90, xa: -2, xb: 2, ya: -2, yb: 2, cx: 0, cy: 0 }
  const others: FractalParams[] = [
    { ...p, cx: -4 }, // an orbit that leaves the circle and comes back
    { ...p, cx: -2.1, cy: 0.3 },
    { ...p, cx: 1e300, cy: -1e300 },
    { ...p, xa: -1.7e308, xb: 1.7e308 }, // 0 × ∞ in its first column
    { ...p, ya: 1.7e308, yb: -1.7e308 },
  ]
  for (const other of others) {
    assert.not.ok(isExactInSimd(other))
    assert.equal(drawRows(other, 0, other.height, { open: openDrawing }), drawRows(other, 0, other.height))
  }
})

test.run()
