import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'

/** JSON Schema (2020-12) of the data of an event. */
export type Shape = { readonly [keyword: string]: unknown; readonly properties?: Readonly<Record<string, Shape>> }

/**
 * Of a type of event as it is stored, in the version that is written today. Throws for a schema that refuses or changes
 * values by a function: no shape would tell it from one that does not.
 */
export const shapeOf = (schema: z.ZodType): Shape =>
  JSON.parse(
    JSON.stringify(z.toJSONSchema(schema, { io: 'input', override: ({ zodSchema }) => requirePlain(zodSchema) })),
  )

function requirePlain({ _zod: { def } }: z.core.$ZodType): void {
  const checks = (def.checks ?? []).map(({ _zod }) => _zod.def.check)
  const untold = [def.type, ...checks].find((what) => UNTOLD.has(what))
  if (untold) throw new Error(`a stored schema has a function in it (${untold}): docs/changing-events.md`)
}

/** What zod calls transforms and the like, `catch`, refinements, and `trim` and the like. */
const UNTOLD = new Set(['pipe', 'catch', 'custom', 'overwrite'])

/**
 * Whether the later shape says more than the earlier one at most in fields that may be absent: what was written in
 * either can be read by whoever knows one of them. How a field is described is no part of that.
 */
export function isExtension(earlier: Shape, later: Shape): boolean {
  const { properties: before, ...rest } = withoutWords(earlier)
  const { properties: after, ...others } = withoutWords(later)
  if (!isDeepStrictEqual(rest, others)) return false
  if (!before || !after) return isDeepStrictEqual(before, after)
  return Object.entries(before).every(([name, shape]) => after[name] !== undefined && isExtension(shape, after[name]))
}

/** A shape without what it says for people, also further in. A field may well be called `description`, and stays. */
function withoutWords({ description: _, ...shape }: Shape): Shape {
  const inner = (keyword: string, value: unknown): unknown => {
    if (Array.isArray(value)) return value.map((one) => inner('', one))
    if (typeof value !== 'object' || value === null) return value
    if (keyword !== 'properties') return withoutWords(value as Shape)
    return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, withoutWords(field)]))
  }
  return Object.fromEntries(Object.entries(shape).map(([keyword, value]) => [keyword, inner(keyword, value)]))
}

/** Name of the file in events/shapes: `TaskRequested` 1 is `task-requested-1.json`. */
export const shapeFile = (type: string, version: number) =>
  `${type.replace(/(?<!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase()}-${version}.json`
