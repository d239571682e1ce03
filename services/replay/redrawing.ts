import { availableParallelism } from 'node:os'
import type { Renderer } from '../worker/rendering.ts'

const nothingToDraw: Renderer = () => Promise.reject(new Error('no picture was to be drawn'))

/** Gives `use` what draws so many pictures again, in so many threads (all cores where nothing is said). */
export async function withRenderer<T>(
  { pictures, threads = availableParallelism() }: { pictures: number; threads?: number | undefined },
  use: (render: Renderer) => Promise<T>,
): Promise<T> {
  // Where nothing is drawn no thread is started: one that is ended while it still loads may abort the process.
  if (pictures === 0) return use(nothingToDraw)
  const { createRenderPool } = await import('../worker/render-pool.ts')
  const pool = createRenderPool(threads)
  try {
    return await use(pool.render)
  } finally {
    await pool.close()
  }
}
