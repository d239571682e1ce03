import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { chooseConstant } from '../../services/kernel/constant.ts'

/** The escape index as the original counts it. */
function indexOf(c: { cx: number; cy: number }, iterations: number): number {
  let [re, im] = [c.cx, c.cy]
  let i = 0
  for (; i < iterations; i++) {
    if (Math.hypot(re, im) > 2) return i
    ;[re, im] = [re * re - im * im + c.cx, re * im + im * re + c.cy]
  }
  return i - 1
}

/** Random numbers from a seed, which also counts how many were drawn. */
function randomFrom(seed: number) {
  let state = seed >>> 0
  const random = () => {
    random.drawn++
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
  random.drawn = 0
  return random
}

const usual = { iterations: 255, xa: -2, xb: 2, ya: -1.5, yb: 1.5 }

test('in the usual window the rule is always satisfied', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 12, max: 5000 }), (seed, iterations) => {
      const index = indexOf(chooseConstant({ ...usual, iterations }, randomFrom(seed)), iterations)
      assert.ok(index > 10 && index < 100, `index ${index}`)
    }),
  )
})

test('c lies in the window, whatever the window, and the search is bounded', () => {
  const bound = fc.oneof(
    fc.double({ min: -3, max: 3, noNaN: true }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(Number.MAX_VALUE, -Number.MAX_VALUE, Number.MIN_VALUE, 0, -0),
  )
  const window = fc.record({
    iterations: fc.integer({ min: 1, max: 1_000_000 }),
    xa: bound,
    xb: bound,
    ya: bound,
    yb: bound,
  })
  fc.assert(
    fc.property(window, fc.integer(), (w, seed) => {
      const random = randomFrom(seed)
      const c = chooseConstant(w, random)
      assert.ok(c.cx >= Math.min(w.xa, w.xb) && c.cx <= Math.max(w.xa, w.xb), `cx ${c.cx}`)
      assert.ok(c.cy >= Math.min(w.ya, w.yb) && c.cy <= Math.max(w.ya, w.yb), `cy ${c.cy}`)
      const index = indexOf(c, w.iterations)
      if (w.iterations > 11 && !(index > 10 && index < 100)) assert.is(random.drawn, 2 * 4096)
    }),
  )
})

test('up to 11 iterations, where the original searched for ever, c escapes as late as it can', () => {
  for (let iterations = 1; iterations <= 11; iterations++) {
    const random = randomFrom(iterations)
    const c = chooseConstant({ iterations, xa: 1, xb: -1, ya: 1, yb: -1 }, random)
    assert.is(indexOf(c, iterations), iterations - 1)
    assert.ok(random.drawn < 2 * 4096)
  }
})

test('a reversed window is as good as another', () => {
  const index = indexOf(chooseConstant({ iterations: 255, xa: 2, xb: -2, ya: 1.5, yb: -1.5 }, randomFrom(7)), 255)
  assert.ok(index > 10 && index < 100)
})

test('far from the Mandelbrot set every c is as bad, and one comes back', () => {
  assert.equal(chooseConstant({ iterations: 255, xa: 50, xb: 50, ya: -80, yb: -80 }, randomFrom(1)), {
    cx: 50,
    cy: -80,
  })
})

test('a c that never escapes is taken before one that escapes at once', () => {
  // Half of this window lies deep inside the Mandelbrot set, the other half is 0.
  const random = [0.999, 0.5, 0, 0.5]
  let n = 0
  const c = chooseConstant({ iterations: 1000, xa: 0, xb: 100, ya: 0, yb: 0 }, () => random[n++ % 4] ?? 0)
  assert.equal(c, { cx: 0, cy: 0 })
})

test.run()
