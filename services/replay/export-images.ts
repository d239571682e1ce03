import { isFaafoError } from '../../events/errors.ts'
import { type ImageStore, isImageKey } from '../storage/image-store.ts'
import type { ExportedEvent } from './export-format.ts'

/** Images that are copied at the same time. */
const AT_ONCE = 8

/** What is done for each image that the events name; several at a time. */
export async function forEachImage<E extends ExportedEvent>(
  events: readonly E[],
  act: (key: string, event: E) => Promise<void>,
): Promise<void> {
  const queue = events.values()
  const lane = async () => {
    for (const event of queue) {
      const key = imageOf(event)
      if (key !== null) await act(key, event)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
}

function imageOf({ event }: ExportedEvent): string | null {
  const { type, data } = event
  if (type !== 'TaskCompleted' || typeof data !== 'object' || data === null || !('imageKey' in data)) return null
  return typeof data.imageKey === 'string' && isImageKey(data.imageKey) ? data.imageKey : null
}

/** Copies an image, verified on the way; what kept it from being copied is the answer. Throws as `get` and `put` do. */
export async function copyImage(
  key: string,
  { from, to, signal }: { from: Pick<ImageStore, 'get'>; to: Pick<ImageStore, 'put'>; signal: AbortSignal },
): Promise<'copied' | 'missing' | 'damaged'> {
  const image = await from.get(key)
  if (!image) return 'missing'
  try {
    await to.put(image.body, { signal })
    return 'copied'
  } catch (error) {
    if (isFaafoError(error, 'image-damaged')) return 'damaged'
    throw error
  }
}
