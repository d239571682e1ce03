import { FaafoError, isFaafoError, messageOf } from '../../events/errors.ts'
import type { Line } from './export-folder.ts'
import { messageOf as storedMessageOf } from './export-format.ts'
import type { ImportLog } from './import-log.ts'
import { type Conflict, conflictOf, eventIdOf, fractalOf } from './import-plan.ts'
import { interrupted, throughOutages } from './outages.ts'

/** Appends that are on their way at the same time. */
const AT_ONCE = 256
const TRY_MS = 10_000

/**
 * Appends lines in their order. Many are on their way at the same time, on one connection, which keeps the order. But
 * where something fails an event may be stored although one before it is not (yet): so none is sent before the one
 * before it of the same fractal is stored.
 */
export type LineAppender = {
  /** Resolves once the line is on its way, or is skipped because its fractal is in conflict. Throws what an earlier one met. */
  add(line: Line): Promise<void>
  /** Resolves once all are stored. */
  settled(): Promise<void>
  appended(): number
}

/** `conflicts`, by fractal, gets those that come up only now. */
export function createLineAppender(
  { broker, log, stored }: ImportLog,
  { importId, conflicts, signal }: { importId: string; conflicts: Map<string, Conflict>; signal: AbortSignal },
): LineAppender {
  const underway = new Map<string, Promise<void>>()
  let failure: unknown
  let appended = 0

  async function append(line: Line): Promise<void> {
    const { headers, body } = storedMessageOf(line)
    headers['ce-recordedtime'] ??= line.recordedtime
    headers['ce-importid'] = importId
    const id = eventIdOf(line)
    const subject = broker.names.inNamespace(line.slot)
    const entry = { subject, id, message: { headers, body }, what: `line ${line.number}`, details: {} }
    try {
      const done = await throughOutages(signal, () => log.append(entry, { withinMs: TRY_MS, signal }))
      const holder = 'holder' in done ? done.holder : { seq: done.seq, id }
      if (holder.id === id) {
        stored(holder)
        appended++
      } else conflicts.set(fractalOf(line), conflictOf(line, holder.id))
    } catch (error) {
      if (!isFaafoError(error) || error.code === 'aborted' || error.code === 'log-replaced') throw error
      const reason = error.code === 'log-unavailable' ? 'the broker does not answer' : messageOf(error)
      const message = `cannot import line ${line.number}: ${reason}; import again to go on there`
      throw new FaafoError(error.code, message, { cause: error })
    }
  }

  async function settled(): Promise<void> {
    while (underway.size > 0) await Promise.all(underway.values())
    if (failure) throw failure
  }

  return {
    async add(line) {
      const fractal = fractalOf(line)
      await underway.get(fractal)
      while (underway.size >= AT_ONCE) await underway.values().next().value
      if (failure) return settled()
      if (signal.aborted) throw interrupted()
      if (conflicts.has(fractal)) return
      const appending = append(line)
        .catch((error) => {
          failure ??= error
        })
        .finally(() => underway.delete(fractal))
      underway.set(fractal, appending)
    },
    settled,
    appended: () => appended,
  }
}
