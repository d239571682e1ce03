import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { costOf } from '../../events/cost.ts'
import { type FractalParams, LIMITS } from '../../events/fractal.ts'
import { type Drawing, openDrawing } from '../../services/kernel/drawing.ts'
import { estimateIterations } from '../../services/kernel/estimate.ts'
import { plainDrawing } from '../../services/kernel/julia.ts'
import { simdDrawing } from '../../services/kernel/simd-drawing.ts'
import { root } from '../support/project.ts'

const golden: FractalParams[] = JSON.parse(readFileSync(join(root, 'test/golden/julia.json'), 'utf8'))

/** Iterations of the whole picture, counted. */
function iterationsOf(params: FractalParams, open: (params: FractalParams) => Drawing = openDrawing): number {
  const drawing = open(params)
  let sum = 0
  for (let y = 0; y < params.height; y += drawing.tileRows) {
    drawing.begin(y, Math.min(y + drawing.tileRows, params.height))
    drawing.run(Number.POSITIVE_INFINITY)
    for (const count of drawing.counts()) sum += Math.min(count + 1, params.iterations)
  }
  drawing.close()
  return sum
}

/** Opens drawings that add up what they take, and note how many points those had that were finished. */
function counting() {
  const taken = { steps: 0, points: [] as number[] }
  const open = (params: FractalParams): Drawing => {
    const drawing = openDrawing(params)
    const run = (most: number) => {
      const left = drawing.run(most)
      taken.steps += left > 0 ? stepsOf(params) : most - left
      if (left > 0) taken.points.push(params.width * params.height)
      return left
    }
    return { ...drawing, run }
  }
  return { taken, open }
}

/** What drawing a picture of one tile takes, as the kernel counts it. */
function stepsOf(params: FractalParams): number {
  const most = 1e15
  const drawing = openDrawing(params)
  drawing.begin(0, params.height)
  const steps = most - drawing.run(most)
  drawing.close()
  return steps
}

/** c of a disc on which every orbit turns for ever about a fixed point, by the golden mean, and repeats never. */
const turn = Math.PI * (Math.sqrt(5) - 1)
const rotating = {
  cx: Math.cos(turn) / 2 - Math.cos(2 * turn) / 4,
  cy: Math.sin(turn) / 2 - Math.sin(2 * turn) / 4,
}
/** A window about that point: nothing escapes. */
const dearest: FractalParams = {
  ...{ width: LIMITS.maxSide, height: LIMITS.maxSide, iterations: LIMITS.maxIterations },
  ...{ xa: Math.cos(turn) / 2 - 0.05, xb: Math.cos(turn) / 2 + 0.05 },
  ...{ ya: Math.sin(turn) / 2 - 0.05, yb: Math.sin(turn) / 2 + 0.05 },
  ...rotating,
}

for (const params of golden) {
  const { width, height, iterations } = params
  test(`the estimate of the golden picture ${width} × ${height}, ${iterations} iterations, is near what it takes`, () => {
    const ratio = estimateIterations(params) / iterationsOf(params)
    assert.ok(ratio > 0.9 && ratio < 1.1, `${ratio}`)
    if (width <= 64 && height <= 64) assert.is(ratio, 1)
  })
}

test('an orbit that never escapes counts with all of its iterations, also where it is found to repeat', () => {
  const inside = { width: 500, height: 400, iterations: 1_000_000, xa: -0.1, xb: 0.1, ya: -0.1, yb: 0.1, cx: 0, cy: 0 }
  const { taken, open } = counting()
  assert.is(estimateIterations(inside, open), costOf(inside))
  assert.is(taken.points.at(-1), 64 * 64)
  assert.ok(taken.steps < 1_000_000, `${taken.steps} steps`)
})

test('the dearest request of all, of which nothing escapes or repeats, is estimated in a bounded number of steps', () => {
  const { taken, open } = counting()
  assert.is(estimateIterations(dearest, open), costOf(dearest))
  assert.equal(taken.points, [16])
  assert.ok(taken.steps >= 16_000_000 && taken.steps <= 20_000_000, `${taken.steps} steps`)
})

test('so it is with any number of iterations', () => {
  for (let iterations = 1; iterations <= LIMITS.maxIterations; iterations = Math.ceil(iterations * 1.9)) {
    const { taken, open } = counting()
    assert.is(estimateIterations({ ...dearest, iterations }, open), costOf({ ...dearest, iterations }))
    assert.ok(taken.steps <= 20_000_000, `${taken.steps} steps for ${iterations} iterations`)
  }
})

test('a dear picture is sampled as finely as the steps last', () => {
  // Every orbit leaves through the gap between two fixed points, after some 9,900 iterations.
  const slow = { width: 999, height: 700, iterations: 1_000_000, xa: -0.2, xb: 0.2, ya: -0.2, yb: 0.2 }
  const params = { ...slow, cx: 0.25 + 1e-7, cy: 0 }
  const { taken, open } = counting()
  const estimated = estimateIterations(params, open)
  assert.ok(estimated > 9_000 * 999 * 700 && estimated < 11_000 * 999 * 700, `${estimated / 999 / 700} a pixel`)
  assert.equal(taken.points, [16, 64, 256, 1024])
})

test('no picture takes more than the steps and one group of pixels', () => {
  const any = fc.record({
    ...{ width: fc.integer({ min: 2, max: 200 }), height: fc.integer({ min: 2, max: 200 }) },
    iterations: fc.integer({ min: 1, max: LIMITS.maxIterations }),
    ...{ x: fc.double({ min: -1, max: 1, noNaN: true }), y: fc.double({ min: -1, max: 1, noNaN: true }) },
    size: fc.double({ min: 0, max: 3, noNaN: true }),
    c: fc.constantFrom(rotating, { cx: 0.25, cy: 0 }, { cx: -0.75, cy: 0 }, { cx: -0.8, cy: 0.156 }),
  })
  fc.assert(
    fc.property(any, ({ x, y, size, c, ...rest }) => {
      const { taken, open } = counting()
      estimateIterations({ ...rest, xa: x - size, xb: x + size, ya: y - size, yb: y + size, ...c }, open)
      assert.ok(taken.steps <= 20_000_000 + 8 * rest.iterations, `${taken.steps} steps`)
      assert.ok(taken.points.length > 0, 'the first sample is finished')
    }),
    { numRuns: 50 },
  )
})

const bound = fc.oneof(
  fc.double({ min: -2, max: 2, noNaN: true }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(Number.MAX_VALUE, -Number.MAX_VALUE, 0),
)
const pictures = (mostSide: number) =>
  fc.record({
    width: fc.integer({ min: 2, max: mostSide }),
    height: fc.integer({ min: 2, max: mostSide }),
    iterations: fc.integer({ min: 1, max: 300 }),
    ...{ xa: bound, xb: bound, ya: bound, yb: bound, cx: bound, cy: bound },
  })

test('an estimate is a whole number from 1 a pixel to the worst case, and the same every time', () => {
  fc.assert(
    fc.property(pictures(LIMITS.maxSide), (params) => {
      const estimated = estimateIterations(params)
      assert.ok(Number.isSafeInteger(estimated), `${estimated}`)
      assert.ok(estimated >= params.width * params.height && estimated <= costOf(params), `${estimated}`)
      assert.is(estimateIterations(params), estimated)
    }),
  )
})

test('a picture no larger than the sample is counted exactly, whatever draws it', () => {
  fc.assert(
    fc.property(pictures(64), (params) => assert.is(estimateIterations(params), iterationsOf(params, plainDrawing))),
  )
})

test('both ways to draw count the same', () => {
  for (const params of golden.filter(({ width }) => width < 400)) {
    assert.is(iterationsOf(params, plainDrawing), iterationsOf(params, simdDrawing))
  }
})

test.run()
