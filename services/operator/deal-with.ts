import { setMaxListeners } from 'node:events'
import { type Counts, nothingYet, type Operation } from '../../events/operation.ts'
import { changeOne, type FractalParts } from './one-fractal.ts'

/** A batch is what takes about so long, so that progress is recorded about once in it. */
export const BATCH_MS = 1_000
/** Fractals that are being changed at the same time; fewer where there is no hurry. */
const LANES = 32
const TURNS_OF_A_LANE = 10

const lanesFor = (rate: number | null) =>
  rate === null ? LANES : Math.min(LANES, Math.max(1, Math.ceil(rate / TURNS_OF_A_LANE)))

/**
 * Deals with the batch in hand for as long as a batch is to take (with all of it, where the operation is to stop), or
 * until `halt` fires. `rest`: those that were not come to, or left alone. Throws what ends it, with no lane running on.
 */
export async function dealWith(
  parts: FractalParts,
  operation: Operation,
  halt: AbortSignal,
): Promise<{ counts: Counts; rest: string[]; dealtWith: number }> {
  const { batch, status, rate } = operation
  const counts = { ...nothingYet }
  const dealtWith = new Set<string>()
  const isLast = status === 'stopping'
  const matches = isLast ? new Map<string, number>() : await parts.matching.among(batch)
  const ending = new AbortController()
  const enough = ending.signal
  setMaxListeners(0, enough) // every lane listens
  const end = () => ending.abort()
  if (halt.aborted) end()
  halt.addEventListener('abort', end, { once: true })
  const timer = isLast ? undefined : setTimeout(end, BATCH_MS)
  try {
    const queue = batch.values()
    const lane = async () => {
      for (const uuid of queue) {
        if (enough.aborted) return
        const result = await changeOne(parts, operation, { uuid, matchedAt: matches.get(uuid) }, { halt, enough })
        if (result === null) continue
        counts[result]++
        dealtWith.add(uuid)
      }
    }
    const failing = (error: unknown) => {
      end()
      throw error
    }
    const lanes = await Promise.allSettled(Array.from({ length: lanesFor(rate) }, () => lane().catch(failing)))
    for (const one of lanes) if (one.status === 'rejected') throw one.reason
    return { counts, rest: batch.filter((uuid) => !dealtWith.has(uuid)), dealtWith: dealtWith.size }
  } finally {
    clearTimeout(timer)
    halt.removeEventListener('abort', end)
  }
}
