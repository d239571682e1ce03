import { FaafoError } from '../../events/errors.ts'
import type { Estimate, FractalRequest } from './client.ts'
import type { OutputOption } from './output.ts'
import type { Session } from './session.ts'

/** A request that would be made, with what the api expects of it. */
type Estimated = { request: FractalRequest; estimate: Estimate }

/** Prints how much work these requests would be, one after the other; reports those that would be refused. */
export async function estimateAll(
  session: Session,
  { output }: OutputOption,
  requests: readonly FractalRequest[],
): Promise<void> {
  const { client, signal } = session
  session.say(`estimating ${requests.length} task(s); nothing is created`)
  const estimated: Estimated[] = []
  for (const request of requests) {
    try {
      const estimate = await client.estimate(request, { signal })
      estimated.push({ request, estimate })
      if (!estimate.within_budget) session.report(overBudget(request, estimate))
    } catch (error) {
      session.report(error)
    }
  }
  if (output === 'json') await session.printJson(estimated)
  else if (estimated.length > 0) await session.print(await tableOfEstimates(estimated))
}

async function tableOfEstimates(estimated: readonly Estimated[]): Promise<string> {
  const { dimensions, tableOf } = await import('./table.ts')
  const rows = estimated.map(({ request, estimate: { iterations, seconds, within_budget } }) => [
    dimensions(request),
    grouped(request.iterations),
    grouped(iterations),
    within_budget ? secondsText(seconds) : 'refused',
  ])
  const accepted = estimated.map(({ estimate }) => estimate).filter(({ within_budget }) => within_budget)
  const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0)
  const known = accepted.flatMap(({ seconds }) => seconds ?? [])
  const total = [
    `total of ${accepted.length}`,
    '',
    grouped(sum(accepted.map(({ iterations }) => iterations))),
    secondsText(known.length === accepted.length ? sum(known) : null),
  ]
  return tableOf(['Dimensions', 'Iterations', 'Expected in all', 'Seconds'], [...rows, total])
}

function overBudget(request: FractalRequest, estimate: Estimate): FaafoError {
  const { width, height, iterations, cx } = request
  const takes = cx === undefined ? `may take ${estimate.worst_case}` : `is expected to take ${estimate.iterations}`
  const instead = cx === undefined ? 'give --cx and --cy, so that it can be estimated, or ' : ''
  return new FaafoError(
    'invalid-request',
    `cannot request ${width} x ${height} pixels of ${iterations} iterations: the picture ${takes} iterations, the budget of this installation is ${estimate.budget}; ${instead}ask for fewer pixels or iterations`,
  )
}

/** 1234567 as 1,234,567. */
const grouped = (n: number) => n.toLocaleString('en-US')

const secondsText = (seconds: number | null) => (seconds === null ? 'no workers' : seconds.toFixed(3))
