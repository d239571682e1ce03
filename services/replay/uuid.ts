import { FaafoError } from '../../events/errors.ts'
import { uuidSchema } from '../../events/fractal.ts'

/** In lower case. Throws `invalid-request` for what is no uuid. */
export function requireUuid(text: string): string {
  const uuid = uuidSchema.safeParse(text).data
  if (uuid !== undefined) return uuid
  const expected = 'expected one such as 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11'
  throw new FaafoError('invalid-request', `cannot read '${text.slice(0, 80)}' as a uuid: ${expected}`)
}
