import { setImmediate } from 'node:timers/promises'
import { FaafoError } from '../../events/errors.ts'
import { costOf, type FractalParams, type FractalRequest } from '../../events/fractal.ts'
import { estimateIterations } from '../kernel/estimate.ts'

/**
 * The iterations that a request holds against the budget: those expected of its picture, or those of the worst case
 * where c is left to us, so that the same request again has the same answer whatever c would be chosen then.
 */
const budgeted = (request: FractalRequest, expected: number): number =>
  request.cx === undefined ? costOf(request) : expected

/** Whether the installation takes a request of which so many iterations are expected. */
export const isWithinBudget = (request: FractalRequest, expected: number, budget: number): boolean =>
  budgeted(request, expected) <= budget

/** Throws `invalid-request` where the request of this picture is over the budget. */
export async function requireBudget(request: FractalRequest, params: FractalParams, budget: number): Promise<void> {
  if (costOf(request) <= budget) return // no more is ever expected
  await setImmediate() // estimates take some 20 ms, and a batch may have a thousand
  const iterations = budgeted(request, estimateIterations(params))
  if (iterations <= budget) return
  const may = request.cx === undefined ? 'may' : 'is expected to'
  const detail = `the picture ${may} take ${iterations} iterations, the budget of this installation is ${budget}`
  throw new FaafoError('invalid-request', `cannot request a fractal: ${detail}`, {
    details: { errors: [{ pointer: '/iterations', detail }] },
  })
}
