import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LIMITS } from '../../events/fractal.ts'
import { estimateSchema } from '../../services/api/schemas.ts'
import type { WorkerPresence } from '../../services/platform/presence.ts'
import { create, json, params, post, unknownUuid, withApi, withConstant } from './with-api.ts'

// None of this needs the database, so that none is there.
const withEstimates = (use: Parameters<typeof withApi>[0]) => withApi(use, { database: 'away' })

const estimated = async (answer: Response | Promise<Response>) => {
  const response = await answer
  assert.is(response.status, 200)
  return estimateSchema.strict().parse(await json(response))
}

/** Live news of workers with so many threads each. */
const live = (...workers: Pick<WorkerPresence, 'threads' | 'state'>[]) => ({
  workers: () =>
    workers.map((worker, i) => ({ id: `${i}`, name: `w${i}`, host: 'h', version: '0.1.0', tasks: [], ...worker })),
  progressOf: () => null,
  onProgress: () => () => {},
})

test('an estimate says how many iterations are expected, the worst case and the constant', () =>
  withEstimates(async ({ app }) => {
    const { iterations, ...rest } = await estimated(post(app, '/v1/estimate', withConstant))
    assert.ok(iterations > 64 * 48 && iterations < 64 * 48 * 64, `${iterations}`)
    const { cx, cy } = withConstant
    assert.equal(rest, {
      worst_case: 64 * 48 * 64,
      within_budget: true,
      budget: 1e12,
      seconds: null,
      threads: 0,
      cx,
      cy,
    })
  }))

test('where no constant is given, the one that the request would get is chosen and told', () =>
  withEstimates(async ({ another }) => {
    const app = () => another({ random: () => 0.42 })
    const { cx, cy, iterations } = await estimated(post(app(), '/v1/estimate', params))
    const fractal = await create(app(), params)
    assert.equal([cx, cy], [fractal.cx, fractal.cy])
    assert.is((await estimated(post(app(), '/v1/estimate', { ...params, cx, cy }))).iterations, iterations)
  }))

test('seconds are those of all threads of the workers that take work', () =>
  withEstimates(async ({ another }) => {
    const of = async (...workers: Parameters<typeof live>) =>
      estimated(post(another({ live: live(...workers) }), '/v1/estimate', withConstant))
    const one = await of({ threads: 1, state: 'working' })
    const seconds = one.iterations * 1e-9 + 64 * 48 * 12e-9
    assert.is(one.seconds, seconds)
    const three = await of(
      { threads: 4, state: 'working' },
      { threads: 8, state: 'blocked' },
      { threads: 2, state: 'working' },
    )
    assert.equal([three.threads, three.seconds], [6, seconds / 6])
    const blocked = await of({ threads: 8, state: 'blocked' })
    assert.equal([blocked.threads, blocked.seconds], [0, null])
  }))

const { maxSide: width, maxSide: height, maxIterations: iterations } = LIMITS

test('the budget is held against what is expected', () =>
  withEstimates(async ({ app, another }) => {
    const far = { ...withConstant, width, height, iterations, xa: 10, xb: 11 }
    const { within_budget, ...rest } = await estimated(post(app, '/v1/estimate', far))
    assert.is(within_budget, true)
    assert.equal([rest.iterations, rest.worst_case], [width * height, width * height * iterations])
    assert.is((await post(app, '/v1/fractal', far)).status, 201)

    const inside = { ...far, xa: -0.1, xb: 0.1, ya: -0.1, yb: 0.1, cx: 0, cy: 0 }
    assert.is((await estimated(post(app, '/v1/estimate', inside))).within_budget, false)
    const refused = await post(app, '/v1/fractal', inside)
    assert.is(refused.status, 400)
    const { errors, detail } = await json(refused)
    assert.equal(
      errors.map(({ pointer }: { pointer: string }) => pointer),
      ['/iterations'],
    )
    const worst = width * height * iterations
    assert.match(detail, `is expected to take ${worst} iterations, the budget of this installation is 1000000000000`)

    const { iterations: expected } = await estimated(post(app, '/v1/estimate', withConstant))
    for (const [computeBudget, status] of [
      [expected, 201],
      [expected - 1, 400],
    ] as const) {
      const exact = another({ computeBudget })
      const { within_budget } = await estimated(post(exact, '/v1/estimate', withConstant))
      assert.is(within_budget, status === 201)
      assert.is((await post(exact, '/v1/fractal', withConstant)).status, status)
    }
  }))

test('where c is left to us the budget is held against the worst case, whatever c is chosen', () =>
  withEstimates(async ({ another }) => {
    const worst = params.width * params.height * params.iterations
    for (const [computeBudget, status] of [
      [worst, 201],
      [worst - 1, 400],
    ] as const) {
      const exact = another({ computeBudget })
      assert.is((await estimated(post(exact, '/v1/estimate', params))).within_budget, status === 201)
      assert.is((await post(exact, '/v1/fractal', params)).status, status)
    }
  }))

test('nothing is recorded, also where the body has a uuid', () =>
  withEstimates(async ({ app, log }) => {
    await estimated(post(app, '/v1/estimate', { ...params, uuid: unknownUuid }))
    assert.is((await log.head()).lastSeq, 0)
    await create(app, { ...params, uuid: unknownUuid })
    await estimated(post(app, '/v1/estimate', { ...withConstant, uuid: unknownUuid }))
    assert.is((await log.head()).lastSeq, 1)
  }))

test('what a request is refused for, an estimate is refused for in the same words', () =>
  withEstimates(async ({ app }) => {
    const refusals: [body: unknown, headers?: Record<string, string>][] = [
      [{ ...params, width: 1, iterations: 'many' }],
      [{ ...params, cx: 0.1 }],
      [{ ...params, uuid: 'mine' }],
      [[params]],
      ['{"width":'],
      [{ ...params, uuid: 'x'.repeat(65_536) }],
      [params, { 'content-type': 'text/plain' }],
      [params, { host: 'elsewhere.example' }],
      [params, { origin: 'https://elsewhere.example' }],
    ]
    for (const [body, headers] of refusals) {
      const [refused, request] = await Promise.all([
        post(app, '/v1/estimate', body, headers),
        post(app, '/v1/fractal', body, headers),
      ])
      assert.ok(refused.status >= 400 && refused.status < 500, `${refused.status} for ${JSON.stringify(body)}`)
      assert.is(refused.status, request.status)
      assert.is(refused.headers.get('content-type'), 'application/problem+json')
      assert.equal(await json(refused), await json(request))
    }
    const get = await app.request('/v1/estimate')
    assert.equal([get.status, get.headers.get('allow')], [405, 'POST'])
  }))

test.run()
