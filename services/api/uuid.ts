import type { Context } from 'hono'
import { FaafoError } from '../../events/errors.ts'
import { uuidSchema } from '../../events/fractal.ts'

/** Lower-cased; null for what is no uuid. */
export const parseUuid = (text: string | undefined): string | null => uuidSchema.safeParse(text).data ?? null

/** The uuid in the path. Throws `not-found` for what is no uuid: nothing can be there. */
export function uuidOf(c: Context, action: string): string {
  const text = c.req.param('uuid')
  const uuid = parseUuid(text)
  if (uuid !== null) return uuid
  throw new FaafoError(
    'not-found',
    `cannot ${action} fractal '${text?.slice(0, 80)}': that is no uuid, expected one such as 0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11`,
  )
}
