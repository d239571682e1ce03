import type { Context } from 'hono'
import { cursorOf } from '../../events/cursor.ts'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { fold, isFractal, shownPixels, type Task } from '../../events/task.ts'
import type { Api } from './api.ts'
import { shown } from './object.ts'
import { traceOf } from './trace.ts'
import { parseUuid, uuidOf } from './uuid.ts'
import { change, writing } from './writing.ts'

/** POST /v1/fractal/:uuid/cancel. Cancelling what is cancelled changes nothing. */
export async function postCancel(api: Api, c: Context): Promise<Response> {
  const fractal = uuidOf(c, 'cancel')
  const command = { type: 'cancel', fractal, reason: 'asked for by a client' } as const
  return changed(api, c, await writing(fractal, change(api, command, { traceparent: traceOf(c) })))
}

/** POST /v1/fractal/:uuid/retry. Of a completed one, only where its image is missing or damaged. */
export async function postRetry(api: Api, c: Context): Promise<Response> {
  const fractal = uuidOf(c, 'retry')
  const history = await writing(fractal, api.log.history(fractal))
  const task = fold(history)
  const key = isFractal(task) && task.status === 'completed' ? task.image?.imageKey : undefined
  const imageLost = key !== undefined && !(await isSound(api, key))
  const command = { type: 'retry', fractal, imageLost, pixelChecksum: shownPixels(history) } as const
  return changed(api, c, await writing(fractal, change(api, command, { traceparent: traceOf(c) })))
}

/** DELETE /v1/fractal/:uuid: 204, also where nothing was there. */
export async function deleteFractal(api: Api, c: Context): Promise<Response> {
  const fractal = parseUuid(c.req.param('uuid'))
  if (fractal !== null) {
    const deleted = await writing(fractal, remove(api, fractal, traceOf(c)))
    if (deleted) c.header('Faafo-Cursor', cursorOf(deleted))
  }
  return c.body(null, 204)
}

/** The event that says so, also where it was deleted before; null where nothing was there. */
async function remove(api: Api, fractal: string, traceparent: string | undefined): Promise<RecordedEvent | null> {
  await change(api, { type: 'delete', fractal }, { traceparent })
  return api.log.read(api.broker.names.removed(fractal))
}

function changed(api: Api, c: Context, task: Task): Response {
  if (!isFractal(task)) throw new FaafoError('removed', 'cannot show the fractal: it was deleted meanwhile')
  c.header('Faafo-Cursor', cursorOf(task.last))
  return c.json(shown(api, task))
}

/** Reads all of the stored bytes. Throws `storage-unavailable`. */
async function isSound(api: Api, key: string): Promise<boolean> {
  try {
    const image = await api.images.get(key)
    if (image === null) return false
    for await (const _ of image.body as unknown as AsyncIterable<Uint8Array>);
    return true
  } catch (error) {
    if (isFaafoError(error, 'image-damaged') || isFaafoError(error, 'image-lost')) return false
    throw error
  }
}
