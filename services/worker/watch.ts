import type { Logger } from '../platform/logger.ts'

const TICK_MS = 250
/** Ticks between two looks at the log. */
const LOOK_EVERY = 2

/**
 * Accompanies a render that takes longer than a moment: every 250 ms `tell` is called, and every 500 ms `isClosed` asked;
 * once that says yes, `onClosed` is called and the watch ends. Returns the function that ends it.
 */
export function watchRender(parts: {
  tell: () => void
  isClosed: () => Promise<boolean>
  onClosed: () => void
  logger: Logger
}): () => void {
  const { tell, isClosed, onClosed, logger } = parts
  let ticks = 0
  let looking = false

  async function look() {
    looking = true
    try {
      if (await isClosed()) {
        end()
        onClosed()
      }
    } catch (error) {
      logger.debug({ err: error }, 'cannot look whether the task is still wanted')
    } finally {
      looking = false
    }
  }

  const timer = setInterval(() => {
    tell()
    if (++ticks % LOOK_EVERY === 0 && !looking) void look()
  }, TICK_MS)
  const end = () => clearInterval(timer)
  return end
}
