import type { z } from 'zod'
import { FaafoError } from '../../events/errors.ts'
import { explain, type FractalRequest, fractalRequestSchema, wholeNumber } from '../../events/fractal.ts'
import { type Parameter, parameters } from './parameters.ts'

/** Both bounds are the given value where one was given. */
export type Range = { min: number; max: number; whole: boolean }
export type Plan = Record<Parameter, Range> & { cx?: number; cy?: number }

const MAX_TASKS = 10_000
const schemas = { ...fractalRequestSchema.shape, tasks: wholeNumber(1, MAX_TASKS) }

/**
 * What to draw, from option values as typed, keyed by option names without dashes in front (`width`, `min-width`).
 * Throws `invalid-request` that names every wrong option.
 */
export function planOf(given: Readonly<Record<string, string | undefined>>, action = 'create fractals'): Plan {
  const problems: string[] = []

  function number(option: string, schema: z.ZodType): number | undefined {
    const text = given[option]
    if (text === undefined) return undefined
    const value = text.trim() === '' ? Number.NaN : Number(text)
    const parsed = schema.safeParse(Number.isNaN(value) ? text : value, { error: explain })
    if (parsed.success) return value
    problems.push(`--${option}: ${parsed.error.issues[0]?.message}`)
    return undefined
  }

  const ranges = Object.entries(parameters).map(([name, { min, max, whole }]) => {
    const schema = schemas[name as Parameter]
    const exact = number(name, schema)
    const given = { min: number(`min-${name}`, schema), max: number(`max-${name}`, schema) }
    const bounds = [given.min ?? min, given.max ?? max] as const
    if (whole && bounds[0] > bounds[1] && exact === undefined) {
      const [low, high] = [boundText(bounds[0], given.min), boundText(bounds[1], given.max)]
      problems.push(`--min-${name} ${low} is greater than --max-${name} ${high}`)
    }
    return [name, { min: exact ?? bounds[0], max: exact ?? bounds[1], whole }] as const
  })
  const cx = number('cx', schemas.cx)
  const cy = number('cy', schemas.cy)
  const plan = {
    ...(Object.fromEntries(ranges) as Record<Parameter, Range>),
    ...(cx !== undefined && { cx }),
    ...(cy !== undefined && { cy }),
  }
  if (problems.length === 0) {
    const { tasks: _, ...largest } = drawAll(plan, () => 1 - Number.EPSILON)
    const parsed = fractalRequestSchema.safeParse(largest)
    for (const issue of parsed.error?.issues ?? []) problems.push(`--${issue.path.join('.')}: ${issue.message}`)
  }
  if (problems.length > 0) {
    throw new FaafoError('invalid-request', `cannot ${action}: ${problems.join('; ')}`, { details: { problems } })
  }
  return plan
}

const boundText = (bound: number, given: number | undefined) => `${bound}${given === undefined ? ' (the default)' : ''}`

/** `random` yields numbers from 0 to below 1. */
export const drawTasks = (plan: Plan, random: () => number): number => draw(plan.tasks, random)

export function drawRequest(plan: Plan, random: () => number): FractalRequest {
  const { tasks: _, ...request } = drawAll(plan, random)
  return request
}

function drawAll(plan: Plan, random: () => number) {
  const { cx, cy } = plan
  const drawn = Object.keys(parameters).map((name) => [name, draw(plan[name as Parameter], random)] as const)
  return {
    ...(Object.fromEntries(drawn) as Record<Parameter, number>),
    ...(cx !== undefined && { cx }),
    ...(cy !== undefined && { cy }),
  }
}

const draw = ({ min, max, whole }: Range, random: () => number): number =>
  whole ? min + Math.floor(random() * (max - min + 1)) : min + random() * (max - min)
