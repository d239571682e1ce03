import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { NewEvent } from '../../events/events.ts'
import { type Command, decide, isFractal, type Task } from '../../events/task.ts'
import { type ChangeParts, changeFractal } from '../platform/change.ts'
import { identify } from '../platform/identity.ts'
import type { Appended } from '../platform/log.ts'
import type { AppendOptions } from '../platform/slots.ts'
import type { Api } from './api.ts'
import { withinTime } from './time-limit.ts'

/** Every answer to a write is there within two seconds, whatever the broker does. */
const WRITE_MS = 1_800
const APPEND_MS = 1_200

export type Links = { traceparent?: string | undefined; correlationid?: string; causationid?: string }

/** Appends with this api as the source, and remembers the position for the reads that follow. */
export async function append(api: Api, event: NewEvent, { traceparent, ...links }: Links): Promise<Appended> {
  const identified = identify(event, api.source, { ...links, ...(traceparent && { traceparent }) })
  const appended = await appending(api, event.type, (options) => api.log.append(identified, options))
  api.freshness.wrote(appended.event.seq)
  return appended
}

/** One append to either stream, counted, with what it tells of the room that is left. */
export async function appending<T extends { won: boolean }>(
  api: Api,
  type: string,
  append: (options: AppendOptions) => Promise<T>,
): Promise<T> {
  try {
    const appended = await append({ withinMs: APPEND_MS })
    api.logSpace.found()
    if (appended.won) api.metrics.appended.inc({ type })
    return appended
  } catch (error) {
    if (isFaafoError(error, 'log-full')) api.logSpace.missed(error.message)
    throw error
  }
}

/** One write, answered in time; where the log is away the error names the uuid, and says what to do where it may have happened. */
export async function writing<T>(
  uuid: string,
  work: Promise<T>,
  what = `fractal '${uuid}'`,
  advice = 'repeat the request with the same uuid',
): Promise<T> {
  const late = () =>
    new FaafoError(
      'log-unavailable',
      `cannot be sure that ${what} was changed: the broker did not confirm it in time; ${advice}`,
    )
  try {
    return await withinTime(WRITE_MS, work, late)
  } catch (error) {
    if (!isFaafoError(error, 'log-unavailable')) throw error
    const { code, message, cause, details } = error
    throw new FaafoError(code, details.isUnsure ? `${message}; ${advice}` : message, {
      cause,
      details: { uuid, ...details },
    })
  }
}

/**
 * Carries a command out and resolves to the state that it led to. Lost races are decided anew.
 * Throws what `decide` throws, and `log-unavailable`.
 */
export async function change(
  api: Api,
  command: Exclude<Command, { type: 'request' }>,
  { traceparent }: Pick<Links, 'traceparent'>,
): Promise<Task> {
  const { fractal, type: action } = command
  const parts: ChangeParts = {
    history: api.log.history,
    append: (event, links) => append(api, event, { ...links, traceparent }),
  }
  const { task, changed } = await changeFractal(parts, { fractal, action }, (history, task) => {
    const last = history.at(-1)
    if (last) api.freshness.wrote(last.seq)
    return decide(command, task)
  })
  // Read again for the broker's times; where that fails all is done nevertheless.
  return changed && isFractal(task) ? api.log.load(fractal).catch(() => task) : task
}
