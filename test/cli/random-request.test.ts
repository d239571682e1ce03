import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError } from '../../events/errors.ts'
import { parseFractalRequest } from '../../events/fractal.ts'
import { type Parameter, parameters } from '../../services/cli/parameters.ts'
import { drawRequest, drawTasks, planOf } from '../../services/cli/random-request.ts'
import { seededRandom } from '../support/seeded-random.ts'

function problems(given: Record<string, string>): string[] {
  try {
    planOf(given)
  } catch (error) {
    if (error instanceof FaafoError && error.code === 'invalid-request') return error.details.problems as string[]
    throw error
  }
  return []
}

test('what is not given is drawn within the bounds of the original', () => {
  const plan = planOf({})
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const random = seededRandom(seed)
      const tasks = drawTasks(plan, random)
      assert.ok(Number.isInteger(tasks) && tasks >= 1 && tasks <= 10)
      const request = parseFractalRequest(drawRequest(plan, random))
      for (const [name, { min, max, whole }] of Object.entries(parameters)) {
        if (name === 'tasks') continue
        const value = request[name as Exclude<Parameter, 'tasks'>]
        assert.ok(value >= Math.min(min, max) && value <= Math.max(min, max), `${name} ${value}`)
        assert.ok(!whole || Number.isInteger(value), `${name} ${value}`)
      }
      assert.is(request.cx, undefined)
    }),
  )
})

test('whole numbers reach both of their bounds', () => {
  const plan = planOf({ 'min-width': '300', 'max-width': '301' })
  assert.is(drawRequest(plan, () => 0).width, 300)
  assert.is(drawRequest(plan, () => 0.999999999).width, 301)
})

test('every request of one plan is drawn anew, and one seed gives the same ones again', () => {
  const plan = planOf({})
  const [one, two] = [seededRandom(7), seededRandom(7)]
  const first = drawRequest(plan, one)
  assert.is.not(drawRequest(plan, one).xa, first.xa)
  assert.equal(drawRequest(plan, two), first)
})

test('what is given is taken as it is, in the original bounds or not', () => {
  const given = { width: '100', height: '100', iterations: '10', xa: '1.0', xb: '-1.0', ya: '1.0', yb: '-1.0' }
  const plan = planOf({ ...given, tasks: '500', cx: '-0.8', cy: '1e-3' })
  const expected = { width: 100, height: 100, iterations: 10, xa: 1, xb: -1, ya: 1, yb: -1, cx: -0.8, cy: 0.001 }
  assert.equal(drawRequest(plan, Math.random), expected)
  assert.is(drawTasks(plan, Math.random), 500)
})

test('all wrong options are named at once, each with what was expected', () => {
  const wrong = { width: '1', 'max-height': 'tall', iterations: '1.5', xa: '', yb: 'Infinity', tasks: '0', cx: '1,5' }
  assert.equal(problems({ ...wrong, cy: '0' }), [
    '--max-height: expected a whole number from 2 to 16384, got "tall"',
    '--width: expected a whole number from 2 to 16384, got 1',
    '--iterations: expected a whole number from 1 to 1000000, got 1.5',
    '--xa: expected a number, got ""',
    '--yb: expected a number, got Infinity',
    '--tasks: expected a whole number from 1 to 10000, got 0',
    '--cx: expected a number, got "1,5"',
  ])
})

test('bounds of whole numbers stand in order, those of real numbers in either', () => {
  assert.equal(problems({ 'min-width': '600', 'max-width': '500' }), [
    '--min-width 600 is greater than --max-width 500',
  ])
  assert.equal(problems({ 'min-width': '2000' }), ['--min-width 2000 is greater than --max-width 1024 (the default)'])
  assert.equal(problems({ 'max-width': '100' }), ['--min-width 256 (the default) is greater than --max-width 100'])
  assert.equal(problems({ 'min-xa': '-4', 'max-xa': '-1', 'min-xb': '3', 'max-xb': '2' }), [])
  assert.equal(problems({ width: '2000', 'min-width': '600', 'max-width': '500' }), [])
})

test('a picture that could grow too large is refused before anything is drawn', () => {
  const [problem = '', ...others] = problems({ 'max-width': '16384', height: '16385' })
  assert.match(problem, /^--height: /)
  assert.equal(others, [])
  assert.equal(problems({ 'max-width': '16384', height: '16384' }), [])
})

test('cx and cy go together', () => {
  assert.match(problems({ cx: '1' })[0] ?? '', /^--cx: cx and cy go together/)
  assert.match(problems({ cy: '1' })[0] ?? '', /^--cx: cx and cy go together/)
})

test.run()
