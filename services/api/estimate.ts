import type { Context } from 'hono'
import { costOf } from '../../events/cost.ts'
import { type FractalParams, parseFractalRequest } from '../../events/fractal.ts'
import type { Api } from './api.ts'
import { parseJson, readBody } from './body.ts'
import { expectedIterations, isWithinBudget } from './budget.ts'
import { MAX_BODY_BYTES, paramsOf } from './request.ts'
import type { Estimate } from './schemas.ts'

/**
 * What one thread takes, about: seconds for an iteration, and for all else that is done for a pixel (colour, checksum,
 * file). Measured with `npm run bench -- kernel`; workers do not say how quick they are.
 */
const THREAD_SECONDS = { iteration: 1e-9, pixel: 12e-9 }

/** POST /v1/estimate. Nothing is read or recorded; a request over the budget is estimated like any other. */
export async function postEstimate(api: Api, c: Context): Promise<Response> {
  const request = parseFractalRequest(parseJson(await readBody(c, MAX_BODY_BYTES)))
  const params = paramsOf(api, request)
  const iterations = await expectedIterations(params)
  const threads = threadsOf(api)
  return c.json({
    iterations,
    worst_case: costOf(params),
    within_budget: isWithinBudget(request, iterations, api.computeBudget),
    budget: api.computeBudget,
    seconds: threads === 0 ? null : secondsOf(params, iterations) / threads,
    threads,
    cx: params.cx,
    cy: params.cy,
  } satisfies Estimate)
}

const secondsOf = ({ width, height }: FractalParams, iterations: number): number =>
  iterations * THREAD_SECONDS.iteration + width * height * THREAD_SECONDS.pixel

const threadsOf = ({ live }: Api): number =>
  live.workers().reduce((sum, { state, threads }) => (state === 'blocked' ? sum : sum + threads), 0)
