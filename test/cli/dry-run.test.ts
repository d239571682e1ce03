import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Estimate, FractalRequest } from '../../services/cli/client.ts'
import { runHere } from './run-program.ts'
import { json, problem, type Script, withScriptedApi } from './scripted-api.ts'

/** Estimates a request at a tenth of its worst case; nothing else is answered. */
const estimating =
  (changes: (request: FractalRequest, n: number) => Partial<Estimate>, count = { n: 0 }): Script =>
  ({ method, path, body }) => {
    if (method !== 'POST' || path !== '/v1/estimate') return problem('not-found', 404, 'cannot do that')
    const request = body as FractalRequest
    const worst = request.width * request.height * request.iterations
    const estimate = {
      iterations: worst / 10,
      worst_case: worst,
      within_budget: true,
      budget: 1e7,
      seconds: worst / 1e10,
      threads: 1,
    }
    return json({ ...estimate, cx: 0.1, cy: 0.2, ...changes(request, count.n++) })
  }

const exact = '--width 1000 --height 500 --iterations 200 --xa -2 --xb 2 --ya -1 --yb 1'.split(' ')

test('a dry run prints what each request would cost, and the total, and creates nothing', () =>
  withScriptedApi(
    estimating(() => ({})),
    async (endpoint, seen) => {
      const { code, stdout, stderr } = await runHere(['create', ...exact, '--tasks', '2', '--dry-run'], endpoint)
      assert.is(code, 0, stderr)
      assert.is(stderr, 'estimating 2 task(s); nothing is created\n')
      assert.is(
        stdout,
        `\
+-------------------+------------+-----------------+---------+
| Dimensions        | Iterations | Expected in all | Seconds |
+-------------------+------------+-----------------+---------+
| 1000 x 500 pixels | 200        | 10,000,000      | 0.010   |
| 1000 x 500 pixels | 200        | 10,000,000      | 0.010   |
| total of 2        |            | 20,000,000      | 0.020   |
+-------------------+------------+-----------------+---------+
`,
      )
      assert.equal(
        seen.map(({ method, path }) => `${method} ${path}`),
        ['POST /v1/estimate', 'POST /v1/estimate'],
      )
      const request = { width: 1000, height: 500, iterations: 200, xa: -2, xb: 2, ya: -1, yb: 1 }
      assert.equal(seen[0]?.body, request)
    },
  ))

test('what is not given is drawn at random for a dry run too', () =>
  withScriptedApi(
    estimating(() => ({})),
    async (endpoint, seen) => {
      const args = ['create', '--tasks', '5', '--max-width', '300', '--cx', '-0.8', '--cy', '0.156', '--dry-run']
      assert.is((await runHere(args, endpoint)).code, 0)
      const sent = seen.map(({ body }) => body as FractalRequest)
      assert.is(new Set(sent.map(({ xa }) => xa)).size, 5)
      for (const { width, cx } of sent) assert.ok(width >= 256 && width <= 300 && cx === -0.8)
    },
  ))

test('a request over the budget is exit code 1 and no part of the total', () =>
  withScriptedApi(
    estimating((_, n) => ({ within_budget: n !== 1 && n < 3 })),
    async (endpoint) => {
      const { code, stdout, stderr } = await runHere(['create', ...exact, '--tasks', '3', '--dry-run'], endpoint)
      assert.is(code, 1)
      assert.match(
        stderr,
        /^faafo: cannot request 1000 x 500 pixels of 200 iterations: the picture may take 100000000 iterations, the budget of this installation is 10000000; give --cx and --cy/m,
      )
      assert.match(stdout, /\| refused +\|/)
      assert.match(stdout, /\| total of 2 +\| +\| 20,000,000 +\| 0\.020 +\|/)

      const constant = ['--cx', '-0.8', '--cy', '0.1']
      const known = await runHere(['create', ...exact, ...constant, '--dry-run'], endpoint)
      assert.match(known.stderr, /: the picture is expected to take 10000000 iterations, the budget/)
    },
  ))

test('where no worker is seen, nobody knows how long it takes', () =>
  withScriptedApi(
    estimating((_, n) => (n === 0 ? { seconds: null, threads: 0 } : {})),
    async (endpoint) => {
      const { code, stdout } = await runHere(['create', ...exact, '--tasks', '2', '--dry-run'], endpoint)
      assert.is(code, 0)
      assert.match(stdout, /\| total of 2 +\| +\| 20,000,000 +\| no workers +\|/)
    },
  ))

test('a dry run in JSON has every request with its estimate', () =>
  withScriptedApi(
    estimating(() => ({})),
    async (endpoint, seen) => {
      const args = ['create', ...exact, '--tasks', '2', '--dry-run', '--output', 'json']
      const { code, stdout } = await runHere(args, endpoint)
      assert.is(code, 0)
      const printed: { request: FractalRequest; estimate: Estimate }[] = JSON.parse(stdout)
      assert.equal(
        printed.map(({ request }) => request),
        seen.map(({ body }) => body),
      )
      assert.equal(printed[1]?.estimate, {
        ...{
          iterations: 1e7,
          worst_case: 1e8,
          within_budget: true,
          budget: 1e7,
          seconds: 0.01,
          threads: 1,
          cx: 0.1,
          cy: 0.2,
        },
      })
    },
  ))

test('an estimate that is refused does not keep the others from being made', () => {
  let count = 0
  const answer = estimating(() => ({}))
  return withScriptedApi(
    (...args) => (++count === 2 ? problem('invalid-request', 400, 'cannot do it: too odd') : answer(...args)),
    async (endpoint) => {
      const { code, stdout, stderr } = await runHere(['create', ...exact, '--tasks', '3', '--dry-run'], endpoint)
      assert.is(code, 1)
      assert.match(stderr, /^faafo: cannot do it: too odd$/m)
      assert.match(stdout, /total of 2/)
    },
  )
})

test('a dry run cannot be waited for', async () => {
  const { code, stderr } = await runHere(['create', '--dry-run', '--wait'], 'http://127.0.0.1:9')
  assert.is(code, 2)
  assert.match(stderr, /--dry-run' cannot be used with option '--wait'/)
})

test.run()
