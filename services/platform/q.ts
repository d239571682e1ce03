import {
  and,
  asc,
  desc,
  eq,
  gt,
  gte,
  inArray,
  isNotNull,
  isNull,
  like,
  lt,
  lte,
  ne,
  notInArray,
  or,
  type SQL,
  sql,
} from 'drizzle-orm'
import { z } from 'zod'
import { FaafoError } from '../../events/errors.ts'
import { explain, invalidRequest, wholeNumber } from '../../events/fractal.ts'
import { type Field, fieldNamed, parseValue } from './fields.ts'
import { fractal } from './schema.ts'

/*
 * The original's query language (Flask-Restless 0.x) in the `q` parameter:
 *
 *   {"filters": [{"name": "width", "op": "ge", "val": 512}, {"name": "xa", "op": "<", "field": "xb"}],
 *    "order_by": [{"field": "duration", "direction": "desc"}], "limit": 10, "offset": 20, "single": false}
 *
 * All of the filters must hold; {"or": […]} and {"and": […]} stand where a filter can. `in` and `not_in` take a list.
 */

const operators = {
  eq: ['==', 'eq', 'equals', 'equals_to'],
  ne: ['!=', 'neq', 'does_not_equal', 'not_equal_to'],
  gt: ['>', 'gt'],
  lt: ['<', 'lt'],
  ge: ['>=', 'ge', 'gte', 'geq'],
  le: ['<=', 'le', 'lte', 'leq'],
  in: ['in'],
  not_in: ['not_in'],
  is_null: ['is_null'],
  is_not_null: ['is_not_null'],
  like: ['like'],
} as const
type Operator = keyof typeof operators

const operatorOf = new Map<string, Operator>(
  Object.entries(operators).flatMap(([operator, names]) => names.map((name) => [name, operator as Operator] as const)),
)
const comparisons = { eq, ne, gt, lt, ge: gte, le: lte } as const

const filterSchema = z.strictObject({
  name: z.string(),
  op: z.string().refine((op) => operatorOf.has(op), {
    error: `there is no such operator; there are ${[...operatorOf.keys()].join(' ')}`,
  }),
  val: z.unknown().optional(),
  field: z.string().optional(),
})
type Filter = z.output<typeof filterSchema>

const MOST_FILTERS = 100
const MOST_LEVELS = 10
/** Of all lists together: each value is a parameter of the statement, which has 65,534 at most. */
export const MOST_VALUES = 10_000
const groupOf = z.array(z.unknown()).min(1).max(MOST_FILTERS)
const orSchema = z.strictObject({ or: groupOf })
const andSchema = z.strictObject({ and: groupOf })

const count = wholeNumber(0, Number.MAX_SAFE_INTEGER)
/** The form that a list of filters has; `whereOf` looks at what is in it. */
export const filtersSchema = z.array(z.unknown()).max(MOST_FILTERS)
const qSchema = z.strictObject({
  filters: filtersSchema.default([]),
  order_by: z
    .array(z.strictObject({ field: z.string(), direction: z.enum(['asc', 'desc']).default('asc') }))
    .max(20)
    .default([]),
  limit: count.optional(),
  offset: count.default(0),
  single: z.boolean().default(false),
})
export type Q = {
  /** undefined: everything. */
  where: SQL | undefined
  /** Empty: the order of creation. */
  orderBy: SQL[]
  limit: number | undefined
  offset: number
  single: boolean
}

/** Throws `invalid-request` with a pointer into `q`. */
export function parseQ(text: string | undefined): Q {
  if (text === undefined) return { where: undefined, orderBy: [], limit: undefined, offset: 0, single: false }
  const { filters, order_by, limit, offset, single } = parse(qSchema, parseText(text))
  const orderBy = order_by.map(({ field, direction }, i) => {
    const { column } = fieldNamed(field, `/order_by/${i}/field`)
    return direction === 'desc' ? desc(column) : asc(column)
  })
  return {
    where: whereOf(filters),
    orderBy: orderBy.length === 0 ? [] : [...orderBy, asc(fractal.firstSeq)],
    limit,
    offset,
    single,
  }
}

/** undefined: everything. Throws `invalid-request` with a pointer that begins with `/filters`. */
export function whereOf(filters: readonly unknown[]): SQL | undefined {
  const seen = { values: 0 }
  return and(...filters.map((filter, i) => conditionOf(filter, `/filters/${i}`, seen)))
}

function parseText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new FaafoError('invalid-request', 'cannot read q: it is not JSON', { cause: error })
  }
}

function parse<T extends z.ZodType>(schema: T, value: unknown, at = ''): z.output<T> {
  const parsed = schema.safeParse(value, { error: explain })
  if (parsed.success) return parsed.data
  throw invalidRequest('read the query', parsed.error, at)
}

/** Of a filter, or of several that `or` or `and` holds. */
function conditionOf(given: unknown, at: string, seen: { values: number }, level = 1): SQL | undefined {
  if (level > MOST_LEVELS) throw wrong(at, `or and and go ${MOST_LEVELS} levels deep`)
  const within = (filters: unknown[], name: string) =>
    filters.map((filter, i) => conditionOf(filter, `${at}/${name}/${i}`, seen, level + 1))
  if (has(given, 'or')) return or(...within(parse(orSchema, given, at).or, 'or'))
  if (has(given, 'and')) return and(...within(parse(andSchema, given, at).and, 'and'))
  return comparisonOf(parse(filterSchema, given, at), at, seen)
}

const has = (given: unknown, name: string): boolean =>
  typeof given === 'object' && given !== null && Object.hasOwn(given, name)

function comparisonOf(filter: Filter, at: string, seen: { values: number }): SQL {
  const field = fieldNamed(filter.name, `${at}/name`)
  const operator = operatorOf.get(filter.op) ?? 'eq'
  if (filter.field !== undefined) {
    if ('val' in filter) throw wrong(at, 'give val or field, not both')
    return betweenFields(operator, field, fieldNamed(filter.field, `${at}/field`), at)
  }
  const { column } = field
  const value = (given: unknown, place: string) => parseValue(field, given, place)
  switch (operator) {
    case 'is_null':
    case 'is_not_null':
      if (typeof filter.val === 'object' && filter.val !== null) throw wrong(`${at}/val`, `${filter.op} takes no val`)
      return operator === 'is_null' ? isNull(column) : isNotNull(column)
    case 'in':
    case 'not_in': {
      if (!Array.isArray(filter.val)) throw wrong(`${at}/val`, `${filter.op} needs a list`)
      seen.values += filter.val.length
      if (seen.values > MOST_VALUES) throw wrong(`${at}/val`, `lists hold at most ${MOST_VALUES} values together`)
      const values = filter.val.map((item, i) => value(item, `${at}/val/${i}`))
      return operator === 'in' ? inArray(column, values) : notInArray(column, values)
    }
    case 'like':
      return likeness(field, filter.val, `${at}/val`)
    default:
      if (filter.val === undefined) throw wrong(at, `${filter.op} needs a val or a field`)
      return comparisons[operator](column, value(filter.val, `${at}/val`))
  }
}

function betweenFields(operator: Operator, left: Field, right: Field, at: string): SQL {
  if (!(operator in comparisons)) throw wrong(`${at}/op`, 'two fields can be compared with == != > < >= <= only')
  if (left.compares !== right.compares) throw wrong(`${at}/field`, 'these two fields cannot be compared')
  return comparisons[operator as keyof typeof comparisons](left.column, right.column)
}

/** `%` stands for anything, `_` for one character, a backslash takes the meaning from the one after it. */
function likeness({ column, kind }: Field, pattern: unknown, at: string): SQL {
  if (kind !== 'text' && kind !== 'uuid') throw wrong(at, 'like is for texts')
  if (typeof pattern !== 'string' || pattern.includes('\0')) throw wrong(at, 'like needs a text with % and _')
  if (/(^|[^\\])(\\\\)*\\$/.test(pattern)) throw wrong(at, 'the pattern ends in a lone backslash')
  return kind === 'uuid' ? sql`${column}::text like ${pattern}` : like(column, pattern)
}

const wrong = (pointer: string, detail: string) =>
  new FaafoError('invalid-request', `cannot read the query: ${pointer.slice(1)}: ${detail}`, {
    details: { errors: [{ pointer, detail }] },
  })
