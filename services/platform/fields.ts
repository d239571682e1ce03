import type { PgColumn } from 'drizzle-orm/pg-core'
import { FaafoError } from '../../events/errors.ts'
import { uuidSchema } from '../../events/fractal.ts'
import { parseTime } from '../../events/moment.ts'
import { fractal } from './schema.ts'

type Kind = 'number' | 'int32' | 'int53' | 'text' | 'uuid' | 'time'
/** `compares`: fields of equal values here can be compared with each other. */
export type Field = { column: PgColumn; kind: Kind; compares: 'number' | 'text' | 'uuid' | 'time' }

const number = (column: PgColumn): Field => ({ column, kind: 'number', compares: 'number' })
const int32 = (column: PgColumn): Field => ({ column, kind: 'int32', compares: 'number' })
const text = (column: PgColumn): Field => ({ column, kind: 'text', compares: 'text' })
const time = (column: PgColumn): Field => ({ column, kind: 'time', compares: 'time' })

/**
 * The fields that a query can filter and order by. All but `url` have an index; `url` (there since the original),
 * comparisons of two fields and `like` with a leading wildcard read the whole table.
 */
const fields: Readonly<Record<string, Field>> = {
  uuid: { column: fractal.uuid, kind: 'uuid', compares: 'uuid' },
  status: text(fractal.status),
  checksum: text(fractal.checksum),
  url: text(fractal.url),
  duration: number(fractal.duration),
  size: { column: fractal.size, kind: 'int53', compares: 'number' },
  width: int32(fractal.width),
  height: int32(fractal.height),
  iterations: int32(fractal.iterations),
  xa: number(fractal.xa),
  xb: number(fractal.xb),
  ya: number(fractal.ya),
  yb: number(fractal.yb),
  cx: number(fractal.cx),
  cy: number(fractal.cy),
  generated_by: text(fractal.generatedBy),
  created_at: time(fractal.requestedAt),
  finished_at: time(fractal.finishedAt),
}

/** Throws `invalid-request`. */
export function fieldNamed(name: string, pointer: string): Field {
  const field = Object.hasOwn(fields, name) ? fields[name] : undefined
  if (field) return field
  const known = Object.keys(fields).join(', ')
  throw wrong(pointer, `there is no field '${name.slice(0, 80)}' to query; there are ${known}`)
}

/** A value as the column takes it. Throws `invalid-request`, saying what was expected. */
export function parseValue({ kind }: Field, value: unknown, pointer: string): string | number | Date {
  if (value === null) throw wrong(pointer, 'null compares with nothing: use is_null or is_not_null')
  const { expected, parse } = kinds[kind]
  const parsed = parse(value)
  if (parsed === null) throw wrong(pointer, `expected ${expected}`)
  return parsed
}

const wholeWithin = (limit: number) => ({
  expected: `a whole number up to ${limit}`,
  parse: (value: unknown) => (Number.isInteger(value) && Math.abs(Number(value)) <= limit ? Number(value) : null),
})

const kinds: Record<Kind, { expected: string; parse: (value: unknown) => string | number | Date | null }> = {
  number: { expected: 'a number', parse: (value) => (Number.isFinite(value) ? Number(value) : null) },
  int32: wholeWithin(2 ** 31 - 1),
  int53: wholeWithin(Number.MAX_SAFE_INTEGER),
  text: {
    expected: 'a text',
    parse: (value) => (typeof value === 'string' && !value.includes('\0') ? value : null),
  },
  uuid: { expected: 'a uuid', parse: (value) => uuidSchema.safeParse(value).data ?? null },
  time: {
    expected: 'a time such as 2026-01-31T12:00:00Z',
    parse: (value) => (typeof value === 'string' ? parseTime(value) : null),
  },
}

const wrong = (pointer: string, detail: string) =>
  new FaafoError('invalid-request', `cannot read the query: ${pointer.slice(1)}: ${detail}`, {
    details: { errors: [{ pointer, detail }] },
  })
