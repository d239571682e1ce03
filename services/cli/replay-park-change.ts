import { cursorPattern, parseCursor } from '../../events/cursor.ts'
import { FaafoError } from '../../events/errors.ts'
import type { HeldRow } from '../platform/schema.ts'
import type { ProjectorParts } from '../projector/fold-log.ts'
import type { Retried } from '../projector/retry-held.ts'
import type { OutputOption } from './output.ts'
import type { ProgressReport } from './progress-report.ts'
import { type Session, usageError } from './session.ts'

export type Change = OutputOption & { dryRun?: boolean; type?: string[]; all?: boolean; rate?: number }

/** What became of one, for people and for programs. */
type Outcome = { id: string; fractal: string; outcome: string; applied?: number; error?: string }

type Parts = ProjectorParts & { report: ProgressReport; signal: AbortSignal }

/** `park event`: one after the other, to the end. */
export async function parkAll(session: Session, cursors: string[], options: Change): Promise<void> {
  const { parkEvent } = await import('../replay/park-events.ts')
  const told = await tellAll(session, options, (parts) =>
    eachOf(session, cursors, async (cursor) => {
      const { id, fractal, status } = await parkEvent(parts, parseCursor(cursor), options)
      return { id, fractal, outcome: status === 'dropped' ? 'was dropped before' : 'parked' }
    }),
  )
  if (told.length === 0) return
  session.say(
    options.dryRun ? 'nothing was changed' : 'the projector goes on within seconds; the fractals named are held back',
  )
}

/** `park retry` and `park drop`. */
export async function changeParked(
  session: Session,
  action: 'retry' | 'drop',
  ids: string[],
  options: Change,
): Promise<void> {
  const { type: types = [], all = false, dryRun = false } = options
  const ways = [ids.length > 0, types.length > 0, all].filter((way) => way).length
  if (ways !== 1) throw usageError(`cannot tell what to ${action}: give ids, or --type, or --all`)
  const { dropEvent, parkedRow, parkedRows } = await import('../replay/park-events.ts')
  const { changeTask } = await import('../replay/park-tasks.ts')
  await tellAll(session, options, async function* (parts) {
    const rows = ids.length > 0 ? [] : await parkedRows(parts, all ? undefined : types)
    yield* eachOf(session, ids, async (id) => {
      if (!cursorPattern.test(id)) {
        await changeTask(parts.log, id, action, { dryRun })
        return { id, fractal: id, outcome: action === 'drop' ? 'deleted' : 'retrying' }
      }
      const cursor = parseCursor(id)
      if (action === 'drop') return { ...pick(await dropEvent(parts, cursor, { dryRun })), outcome: 'dropped' }
      rows.push(await parkedRow(parts, cursor))
      return null
    })
    yield* retryAll(session, parts, rows, options)
  })
  if (dryRun) session.say('nothing was changed')
}

const pick = ({ id, fractal }: { id: string; fractal: string }) => ({ id, fractal })

async function* retryAll(
  session: Session,
  parts: Parts,
  rows: HeldRow[],
  { dryRun = false, rate }: Change,
): AsyncGenerator<Outcome> {
  const { faultNow, retryEvents } = await import('../replay/park-events.ts')
  if (dryRun) {
    for (const { cursor: id, fractal, seq } of rows) {
      const fault = await faultNow(parts, seq)
      yield {
        id,
        fractal,
        ...(fault === null ? { outcome: 'can be read' } : { outcome: 'still parked', error: fault }),
      }
    }
    return
  }
  const onProgress = (done: number, total: number) =>
    parts.report.update({ share: done / total, over: false, text: `${done} of ${total} events` })
  for await (const { cursor, ...retried } of retryEvents(parts, rows, { signal: session.signal, rate, onProgress })) {
    yield outcomeOf(session, cursor, retried)
  }
}

function outcomeOf(session: Session, id: string, { fractal, applied, stuck }: Retried): Outcome {
  if (!stuck) return { id, fractal, outcome: 'applied', applied }
  session.report(
    new FaafoError('undecodable-event', `event ${stuck.id} stays parked after ${stuck.tries} tries: ${stuck.error}`),
  )
  return { id, fractal, outcome: 'still parked', applied, error: stuck.error }
}

/** Each in turn; what fails is told and does not keep the next from its turn. */
async function* eachOf(
  session: Session,
  ids: string[],
  act: (id: string) => Promise<Outcome | null>,
): AsyncGenerator<Outcome> {
  for (const id of ids) {
    try {
      const outcome = await act(id)
      if (outcome) yield outcome
    } catch (error) {
      session.report(error)
    }
  }
}

async function tellAll(
  session: Session,
  { output, dryRun = false }: Change,
  outcomes: (parts: Parts) => AsyncGenerator<Outcome>,
): Promise<Outcome[]> {
  const { onInstallation } = await import('./installation.ts')
  const told: Outcome[] = []
  await onInstallation(session, 'retrying', async (parts) => {
    for await (const one of outcomes(parts)) {
      told.push(one)
      if (output === 'json') continue
      const count = one.applied === undefined ? '' : `: ${one.applied} events of fractal ${one.fractal}`
      await session.print(`${dryRun ? 'would be: ' : ''}${one.outcome} ${one.id}${count}\n`)
    }
  })
  if (output === 'json') await session.printJson(told)
  return told
}
