import type { Context } from 'hono'
import { FaafoError } from '../../events/errors.ts'
import { parseMoment } from '../../events/moment.ts'
import { fractalAsOf } from '../platform/as-of.ts'
import type { Api } from './api.ts'
import { objectOf, shown } from './object.ts'
import { awaitFresh, findFractal } from './reading.ts'
import { uuidOf } from './uuid.ts'

/** GET /v1/fractal/:uuid, also as it was at a moment of the past. */
export async function showFractal(api: Api, c: Context): Promise<Response> {
  const uuid = uuidOf(c, 'show')
  const asOf = c.req.query('as_of')
  if (asOf !== undefined) return c.json(objectOf(await fractalAsOf(api.log, uuid, parseMoment(asOf))))
  await awaitFresh(api, c)
  const fractal = await findFractal(api, uuid)
  if (fractal) return c.json(shown(api, fractal))
  throw new FaafoError('not-found', `cannot show fractal '${uuid}': there is none of that uuid`)
}
