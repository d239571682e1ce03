import { idPrefixOf } from '../../events/cursor.ts'
import { FaafoError } from '../../events/errors.ts'
import { type Moment, upTo } from '../../events/moment.ts'
import { type Fractal, fold, isFractal } from '../../events/task.ts'
import type { Log } from './log.ts'
import { lastSeqBy } from './log-time.ts'

/**
 * The fractal as it was at a moment, also where it was deleted later, folded from its own few events. A moment that
 * has not come yet is now. Throws `not-found` where there was none then, `log-replaced` where a cursor is not of this
 * log, `log-unavailable`.
 */
export async function fractalAsOf(
  log: Pick<Log, 'history' | 'messageAt'>,
  uuid: string,
  moment: Moment,
): Promise<Fractal> {
  if ('seq' in moment) await requireCursor(log, moment)
  const task = fold(upTo(await log.history(uuid), moment))
  if (isFractal(task)) return task
  const why = task.status === 'deleted' ? 'it was deleted by then' : 'there was none of that uuid'
  throw new FaafoError('not-found', `cannot show fractal '${uuid}' as it was: ${why}`)
}

/**
 * Sequence of the last event that had happened at the moment, 0 where none had; of a moment that has not come yet, of
 * the last of all. Throws `log-replaced`, `log-unavailable`.
 */
export async function seqAsOf(log: Pick<Log, 'messageAt' | 'head'>, moment: Moment): Promise<number> {
  if ('time' in moment) return lastSeqBy(log, moment.time)
  await requireCursor(log, moment)
  return Math.min(moment.seq, (await log.head()).lastSeq)
}

async function requireCursor(log: Pick<Log, 'messageAt'>, { seq, idPrefix }: { seq: number; idPrefix: string | null }) {
  if (idPrefix === null || seq === 0) return
  const event = await log.messageAt(seq)
  if (event && idPrefixOf(event.id) === idPrefix) return
  throw new FaafoError('log-replaced', `cannot go back to '${seq}-${idPrefix}': it is of another log than the one here`)
}
