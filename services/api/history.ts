import type { Context } from 'hono'
import { cloudEventOf } from '../../events/cloud-event.ts'
import { FaafoError } from '../../events/errors.ts'
import type { Api } from './api.ts'
import type { FractalEvents } from './schemas.ts'
import { uuidOf } from './uuid.ts'

/** GET /v1/fractal/:uuid/events: also of a fractal that was deleted. From the log, so that it is never behind. */
export async function getEvents(api: Api, c: Context): Promise<Response> {
  const uuid = uuidOf(c, 'show the events of')
  const events = await api.log.history(uuid)
  if (events.length === 0) {
    throw new FaafoError('not-found', `cannot show the events of fractal '${uuid}': there are none of that uuid`)
  }
  return c.json({ events: events.map(cloudEventOf) } satisfies FractalEvents)
}
