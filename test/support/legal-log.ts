import fc from 'fast-check'
import { v4 } from 'uuid'
import type { NewEvent } from '../../events/events.ts'
import { identify } from '../../services/platform/identity.ts'
import type { Log } from '../../services/platform/log.ts'
import { legalHistory } from './legal-history.ts'

/** Appends so many legal histories, all at the same time, each to a fractal of its own; resolves to their uuids. */
export async function appendLegalHistories(log: Log, { seed, count }: { seed: number; count: number }) {
  const histories = fc.sample(legalHistory, { seed, numRuns: count })
  return Promise.all(
    histories.map(async (history) => {
      const fractal = v4()
      for (const { type, data } of history) {
        await log.append(identify({ type, fractal, data } as NewEvent, '/test'), { withinMs: 10_000 })
      }
      return fractal
    }),
  )
}
