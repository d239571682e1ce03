import { setImmediate } from 'node:timers/promises'
import { costOf } from '../../events/cost.ts'
import { FaafoError } from '../../events/errors.ts'
import type { FractalParams, FractalRequest } from '../../events/fractal.ts'
import { estimateIterations } from '../kernel/estimate.ts'

/**
 * Whether the installation takes a request of which so many iterations are expected. Where c is left to us those of the
 * worst case count, so that the same request again has the same answer whatever c would be chosen then.
 */
export const isWithinBudget = (request: FractalRequest, expected: number, budget: number): boolean =>
  (request.cx === undefined ? costOf(request) : expected) <= budget

/** Throws `invalid-request` where the request of this picture is over the budget. */
export async function requireBudget(request: FractalRequest, params: FractalParams, budget: number): Promise<void> {
  const worst = costOf(request)
  if (worst <= budget) return // no more is ever expected
  if (request.cx === undefined)
    throw overBudget(`may take ${worst}`, budget, 'give cx and cy, so that it can be estimated, or ')
  const expected = await expectedIterations(params)
  if (!isWithinBudget(request, expected, budget)) throw overBudget(`is expected to take ${expected}`, budget)
}

let lastTurn: Promise<void> = Promise.resolve()

/**
 * `estimateIterations`, in a turn of the event loop that no other estimate has: one may take 20 ms, or 130, and a batch
 * may have a thousand.
 */
export async function expectedIterations(params: FractalParams): Promise<number> {
  lastTurn = lastTurn.then(() => setImmediate())
  await lastTurn
  return estimateIterations(params)
}

function overBudget(takes: string, budget: number, instead = ''): FaafoError {
  const advice = `${instead}ask for fewer pixels or iterations`
  const detail = `the picture ${takes} iterations, the budget of this installation is ${budget}; ${advice}`
  return new FaafoError('invalid-request', `cannot request a fractal: ${detail}`, {
    details: { errors: [{ pointer: '/iterations', detail }] },
  })
}
