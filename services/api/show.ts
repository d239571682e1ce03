import type { Context } from 'hono'
import { FaafoError } from '../../events/errors.ts'
import type { Api } from './api.ts'
import { shown } from './object.ts'
import { awaitFresh, findFractal } from './reading.ts'
import { uuidOf } from './uuid.ts'

/** GET /v1/fractal/:uuid */
export async function showFractal(api: Api, c: Context): Promise<Response> {
  const uuid = uuidOf(c, 'show')
  await awaitFresh(api, c)
  const fractal = await findFractal(api, uuid)
  if (fractal) return c.json(shown(api, fractal))
  throw new FaafoError('not-found', `cannot show fractal '${uuid}': there is none of that uuid`)
}
