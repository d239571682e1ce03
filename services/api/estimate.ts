import type { Context } from 'hono'
import { costOf, parseFractalRequest } from '../../events/fractal.ts'
import { estimateIterations } from '../kernel/estimate.ts'
import type { Api } from './api.ts'
import { parseJson, readBody } from './body.ts'
import { isWithinBudget } from './budget.ts'
import { MAX_BODY_BYTES, paramsOf } from './request.ts'
import type { Estimate } from './schemas.ts'

/** Iterations a second of one thread: about what the WebAssembly kernel does. Workers do not say how quick they are. */
const THREAD_SPEED = 1e9

/** POST /v1/estimate. Nothing is read or recorded; a request over the budget is estimated like any other. */
export async function postEstimate(api: Api, c: Context): Promise<Response> {
  const request = parseFractalRequest(parseJson(await readBody(c, MAX_BODY_BYTES)))
  const params = paramsOf(api, request)
  const iterations = estimateIterations(params)
  const threads = threadsOf(api)
  return c.json({
    iterations,
    worst_case: costOf(params),
    within_budget: isWithinBudget(request, iterations, api.computeBudget),
    seconds: threads === 0 ? null : iterations / (THREAD_SPEED * threads),
    threads,
    cx: params.cx,
    cy: params.cy,
  } satisfies Estimate)
}

const threadsOf = ({ live }: Api): number =>
  live.workers().reduce((sum, { state, threads }) => (state === 'blocked' ? sum : sum + threads), 0)
