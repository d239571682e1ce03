import { type FaafoError, isFaafoError, messageOf } from '../../events/errors.ts'
import { parkedIdOf } from '../../events/parked.ts'
import { readCheckpoint } from '../platform/checkpoint.ts'
import { rootCause } from '../platform/database.ts'
import { PROJECTION_VERSION } from '../platform/read-model.ts'
import type { CheckpointRow } from '../platform/schema.ts'
import { pause } from '../platform/shutdown.ts'
import { writeHalted } from './checkpoint.ts'
import { fillEmpty } from './fill-empty.ts'
import { foldLog, type ProjectorParts } from './fold-log.ts'
import { renew } from './renew.ts'
import { retryUntried } from './retry-held.ts'

/** How often a standby looks, and after how many looks at a checkpoint that stands still it takes over. */
const STANDBY_LOOK_MS = 1_000
const STANDBY_LOOKS = 3
/** How often a halted projector looks whether its cause is gone. */
const HALTED_LOOK_MS = 5_000
const MAX_BACKOFF_MS = 1_000

/**
 * Keeps the `fractal` table at the log's end until `signal` fires, the batch in hand finished. Outages of the broker
 * and of the database are waited out. Of several projectors one is active, the others stand by. Rows that an older
 * version of the projection made are served, and kept up to date, until they are made anew beside them.
 *
 * It halts at an event that it cannot read or store, unless an operator parked or dropped that (events/parked.ts), and where the log is not the one that the checkpoint was taken
 * from: going on would make the table a lie. Then it writes no rows any more, says why in its log and in the
 * checkpoint (`halted`), and looks again every few seconds whether the cause is gone: the right folder put back, a
 * rebuild, a newer program in its place, the event parked. What is held back for parked events is tried again when it starts. The process lives on, because an exit would only have its supervisor start
 * it over and over.
 * `rebuilding`: the same parts for whole read models, where single statements take long.
 */
export async function runProjector(
  parts: ProjectorParts,
  signal: AbortSignal,
  rebuilding: ProjectorParts = parts,
): Promise<void> {
  const { logger } = parts
  let failures = 0
  let renewal: Promise<void> | undefined
  let halted: string | null = null
  let opened: CheckpointRow | undefined
  let retrial: Promise<void> | undefined
  const tried = new Set<string>()
  let fills = true
  const onOpen = (row: CheckpointRow) => {
    opened = row
    retrial ??= retryUntried(parts, tried, signal).finally(() => {
      retrial = undefined
    })
  }
  const onProgress = ({ seq }: { seq: number }) => {
    if (failures > 0 || halted !== null) logger.info({ seq }, 'projecting again')
    failures = 0
    halted = null
    renewWhereOld()
  }
  function renewWhereOld() {
    if (renewal || !opened || opened.version >= PROJECTION_VERSION) return
    renewal = renew(rebuilding, signal).finally(() => {
      renewal = undefined
    })
  }
  while (!signal.aborted) {
    try {
      if (fills) fills = await fillEmpty(parts, signal, rebuilding)
      if (signal.aborted) break
      await foldLog(parts, { signal, onOpen, onProgress })
    } catch (error) {
      if (signal.aborted) break
      if (isFaafoError(error, 'fence-lost')) {
        if (await tookOver(parts, opened)) continue
        logger.info({ reason: error.message }, 'standing by')
        await standBy(parts, signal)
      } else if (isFaafoError(error, 'undecodable-event') || isFaafoError(error, 'log-replaced')) {
        const halt = haltOf(error)
        if (halt.reason !== halted) logger.fatal(halt, 'projector halted')
        halted = halt.reason
        await sayHalted(parts, halt)
        await pause(HALTED_LOOK_MS, signal)
      } else {
        failures++
        const expected = isFaafoError(error, 'database-unavailable') || isFaafoError(error, 'log-unavailable')
        const bound = expected ? { reason: messageOf(rootCause(error)) } : { err: rootCause(error) }
        if (failures === 1 || failures % 60 === 0) logger[expected ? 'warn' : 'error'](bound, 'projecting interrupted')
        await pause(Math.min(MAX_BACKOFF_MS, 100 * 2 ** failures), signal)
      }
    }
  }
  await Promise.all([renewal, retrial])
}

/** Whether another read model, not of a newer program, is in place of the one that was opened, or events that it held back were applied beside us. */
async function tookOver({ db, logger }: ProjectorParts, opened: CheckpointRow | undefined): Promise<boolean> {
  const row = await readCheckpoint(db).catch(() => null)
  if (!row || !opened || row.epoch === opened.epoch || row.version > PROJECTION_VERSION) return false
  logger.info({ seq: row.seq }, 'the tables were changed beside us, going on with them')
  return true
}

/** Watches, until the checkpoint has stood still for a while although the log goes on, or `signal` fires. */
async function standBy({ db, log, logger }: ProjectorParts, signal: AbortSignal): Promise<void> {
  let seen: number | null = null
  let still = 0
  while (!signal.aborted) {
    await pause(STANDBY_LOOK_MS, signal)
    try {
      const [row, head] = await Promise.all([readCheckpoint(db), log.head()])
      const seq = row?.seq ?? 0
      still = seq === seen && seq !== head.lastSeq ? still + 1 : 0
      seen = seq
      if (still >= STANDBY_LOOKS) return logger.info({ seq }, 'taking over')
    } catch (error) {
      still = 0
      logger.debug({ reason: messageOf(rootCause(error)) }, 'cannot look')
      if (!isFaafoError(error)) return // a database without our tables, for one: whoever is active makes them
    }
  }
}

const wayOut = {
  'undecodable-event': (cursor: string) =>
    `a newer version of this program may know it; once it does, or you say \`faafo replay park event ${cursor}\` to go on without it, the projector goes on by itself`,
  'log-replaced': () =>
    'put the right store folder of the broker back, or accept this log with `faafo replay rebuild`; the projector then goes on by itself',
} as const

type Halt = { stand: number; cursor: string; reason: string }

function haltOf({ code, message, details }: FaafoError): Halt {
  const seq = Number(details.seq)
  const id = details.eventId ?? details.expectedId
  const cursor = parkedIdOf({ seq, id: String(id ?? '') })
  return {
    stand: code === 'undecodable-event' ? seq - 1 : seq,
    cursor,
    reason: `${message} (cursor ${cursor}); ${wayOut[code as keyof typeof wayOut](cursor)}`,
  }
}

/** At our checkpoint only: another projector may know how to go on. */
async function sayHalted({ db, logger }: ProjectorParts, { stand, reason }: Halt): Promise<void> {
  try {
    await writeHalted(db, stand, reason)
  } catch (error) {
    logger.warn({ reason: messageOf(rootCause(error)) }, 'cannot note the halt')
  }
}
