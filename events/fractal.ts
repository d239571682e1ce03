import { createHash } from 'node:crypto'
import { z } from 'zod'
import { FaafoError } from './errors.ts'

/** What one request may ask for at most: pixels of a side (its square, 2²⁸, is the largest picture), iterations per pixel. */
export const LIMITS = {
  minSide: 2,
  maxSide: 16_384,
  maxIterations: 1_000_000,
} as const

/**
 * Default `COMPUTE_BUDGET`: the most iterations, of all pixels together, that may be expected of one request. 10¹² is
 * some twenty minutes of one core where none are saved.
 */
export const DEFAULT_COMPUTE_BUDGET = 1e12

/** What is wrong with a value, as a zod `error`: `expected a number, got "1"`, `is missing: expected a number`. */
const expected =
  (what: string) =>
  ({ input }: { input?: unknown }): string =>
    input === undefined ? `is missing: expected ${what}` : `expected ${what}, got ${briefly(input)}`

function briefly(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'an object'
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** A whole number, for which every mistake reads the same. */
export function wholeNumber(min: number, max: number) {
  const error = expected(`a whole number from ${min} to ${max}`)
  return z.int({ error }).min(min, { error }).max(max, { error })
}

const kinds: Readonly<Record<string, string>> = {
  number: 'a number',
  int: 'a whole number',
  string: 'a text',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
}

/** For `safeParse(…, { error: explain })`: zod's findings in our words, where the schema has none of its own. */
export function explain(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type') return expected(kinds[issue.expected] ?? issue.expected)(issue)
  if (issue.code === 'invalid_value') return expected(issue.values.map(String).join(' or '))(issue)
  if (issue.code === 'unrecognized_keys') return `there is no ${issue.keys.map(briefly).join(', ')} here`
  if (issue.code === 'too_small' && issue.origin === 'array') return `expected at least ${issue.minimum} in the list`
  if (issue.code === 'too_big' && issue.origin === 'array') return `expected at most ${issue.maximum} in the list`
  return undefined
}

const side = wholeNumber(LIMITS.minSide, LIMITS.maxSide).meta({
  description: `pixels, ${LIMITS.minSide} to ${LIMITS.maxSide}`,
  example: 640,
})
const meanings = {
  xa: 'real part at the left edge',
  xb: 'real part at the right edge',
  ya: 'imaginary part at the top edge',
  yb: 'imaginary part at the bottom edge',
  cx: 'real part of the Julia constant c',
  cy: 'imaginary part of the Julia constant c',
}
const bound = (description: string, example: number) =>
  z.number({ error: expected('a number') }).meta({ description, example })

/** A uuid of any version, lower-cased: the form in which it stands in subjects and tables. */
export const uuidSchema = z
  .guid({ error: expected('a uuid such as 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11') })
  .transform((text) => text.toLowerCase())
  .meta({ description: 'identifies the fractal', example: '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11' })

/** A request as a client sends it: the uuid and the Julia constant may be left to us. */
export const fractalRequestSchema = z
  .strictObject({
    uuid: uuidSchema.optional(),
    width: side,
    height: side,
    iterations: wholeNumber(1, LIMITS.maxIterations).meta({
      description: `per pixel, 1 to ${LIMITS.maxIterations}`,
      example: 255,
    }),
    xa: bound(meanings.xa, -2),
    xb: bound(meanings.xb, 2),
    ya: bound(meanings.ya, -1.5),
    yb: bound(meanings.yb, 1.5),
    cx: bound(`${meanings.cx}; with cy or not at all`, -0.8).optional(),
    cy: bound(`${meanings.cy}; with cx or not at all`, 0.156).optional(),
  })
  .refine((r) => (r.cx === undefined) === (r.cy === undefined), {
    error: 'cx and cy go together: give both, or neither to have one chosen',
    path: ['cx'],
  })
  .meta({ id: 'FractalRequest' })

/** A request as sent, once parsed: `uuid`, and `cx` with `cy`, may be absent. */
export type FractalRequest = z.output<typeof fractalRequestSchema>

/** Everything that decides the pixels. Rendering is a pure function of this. */
export const fractalParamsSchema = z.object({
  width: z.int().meta({ description: 'pixels of a row' }),
  height: z.int().meta({ description: 'rows of pixels' }),
  iterations: z.int().meta({ description: 'most steps of the formula for one pixel' }),
  xa: z.number().meta({ description: meanings.xa }),
  xb: z.number().meta({ description: meanings.xb }),
  ya: z.number().meta({ description: meanings.ya }),
  yb: z.number().meta({ description: meanings.yb }),
  cx: z.number().meta({ description: meanings.cx }),
  cy: z.number().meta({ description: meanings.cy }),
})
export type FractalParams = z.output<typeof fractalParamsSchema>

/**
 * Parses one request from untrusted JSON.
 * Throws `invalid-request` whose `errors` detail lists every problem as `{ pointer, detail }` (RFC 6901 pointers).
 */
export function parseFractalRequest(json: unknown): FractalRequest {
  const parsed = fractalRequestSchema.safeParse(json, { error: explain })
  if (!parsed.success) throw invalidRequest('request a fractal', parsed.error)
  return parsed.data
}

/** A zod failure as `invalid-request`: all problems at once, each with a pointer that begins with `at`. */
export function invalidRequest(action: string, error: z.ZodError, at = ''): FaafoError {
  const found = error.issues.map((issue) => ({
    pointer: at + issue.path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''),
    detail: issue.message,
  }))
  // 1e300 is no safe integer and too large as well, which reads the same.
  const errors = found.filter(
    (one, i) => found.findIndex((other) => other.pointer === one.pointer && other.detail === one.detail) === i,
  )
  const summary = errors.map((e) => (e.pointer ? `${e.pointer.slice(1)}: ${e.detail}` : e.detail)).join('; ')
  return new FaafoError('invalid-request', `cannot ${action}: ${summary}`, { details: { errors } })
}

/**
 * SHA-256 (hex) of a request as sent: the given fields in a fixed order, the uuid apart. Equal hashes mean that the
 * caller asked for the same thing.
 */
export function hashRequest(request: FractalRequest): string {
  const { width, height, iterations, xa, xb, ya, yb, cx, cy } = request
  const fields = [width, height, iterations, xa, xb, ya, yb, cx ?? null, cy ?? null]
  return createHash('sha256').update(JSON.stringify(fields)).digest('hex')
}
