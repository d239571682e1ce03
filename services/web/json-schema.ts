/** What pages read of a JSON Schema. */
export type JsonSchema = {
  /** All of it is elsewhere. */
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly examples?: readonly unknown[]
  readonly default?: unknown
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly format?: string
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly items?: JsonSchema
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly additionalProperties?: JsonSchema | boolean
  readonly required?: readonly string[]
}

export type Field = {
  /** With dots, where it stands in another one: `params.width`. */
  name: string
  /** For people, limits included: `integer ≥ 1`. */
  type: string
  schema: JsonSchema
  /** Whether it is there wherever that is in which it stands. */
  isAlwaysThere: boolean
}

/** Every field of an object, each followed by those that stand in it. */
export const fieldsOf = ({ properties = {}, required = [] }: JsonSchema, within = ''): Field[] =>
  Object.entries(properties).flatMap(([key, schema]) => {
    const name = `${within}${key}`
    const field = { name, type: typeOf(schema), schema, isAlwaysThere: required.includes(key) }
    return [field, ...fieldsOf(schema, `${name}.`)]
  })

const formats: Readonly<Record<string, string>> = { uuid: 'uuid', 'date-time': 'time, RFC 3339' }

export function typeOf(schema: JsonSchema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' or ')
  const name = [schema.type ?? 'anything'].flat().join(' or ')
  if (name === 'array') return `list of ${typeOf(schema.items ?? {})}`
  if (name === 'object' && typeof schema.additionalProperties === 'object') {
    return `object, each value ${typeOf(schema.additionalProperties)}`
  }
  if (schema.format !== undefined && name === 'string') return formats[schema.format] ?? schema.format
  return [name, schema.pattern && `matching ${schema.pattern}`, limitsOf(schema)].filter(Boolean).join(' ')
}

/** `≥ 1`, `0 to 1`; '' where there are none but those of whole numbers in JavaScript. */
function limitsOf({ minimum, maximum }: JsonSchema): string {
  const least = minimum === Number.MIN_SAFE_INTEGER ? undefined : minimum
  const most = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum
  if (least === undefined) return most === undefined ? '' : `≤ ${most}`
  return most === undefined ? `≥ ${least}` : `${least} to ${most}`
}
