import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'

/** JSON Schema (2020-12) of the data of an event. */
export type Shape = { readonly [keyword: string]: unknown; readonly properties?: Readonly<Record<string, Shape>> }

/** Of a type of event as it is stored, in the version that is written today. */
export const shapeOf = (schema: z.ZodType): Shape => JSON.parse(JSON.stringify(z.toJSONSchema(schema, { io: 'input' })))

/**
 * Whether the later shape says more than the earlier one at most in fields that may be absent: what was written in
 * either can be read by whoever knows one of them.
 */
export function isExtension(earlier: Shape, later: Shape): boolean {
  const { properties: before, ...rest } = earlier
  const { properties: after, ...others } = later
  if (!isDeepStrictEqual(rest, others)) return false
  if (!before || !after) return isDeepStrictEqual(before, after)
  return Object.entries(before).every(([name, shape]) => after[name] !== undefined && isExtension(shape, after[name]))
}

/** Name of the file in events/shapes: `TaskRequested` 1 is `task-requested-1.json`. */
export const shapeFile = (type: string, version: number) =>
  `${type.replace(/(?<!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase()}-${version}.json`
