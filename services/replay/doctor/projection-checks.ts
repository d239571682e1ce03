import { eq, sql } from 'drizzle-orm'
import { isFaafoError, messageOf } from '../../../events/errors.ts'
import { readCheckpoint } from '../../platform/checkpoint.ts'
import { querying, rootCause } from '../../platform/database.ts'
import { type LogDifference, verifyPosition } from '../../platform/log-reader.ts'
import { isMigrated } from '../../platform/migrate.ts'
import { liveModel, nextModel } from '../../platform/read-model.ts'
import { checkpoint, fractal } from '../../platform/schema.ts'
import { pause } from '../../platform/shutdown.ts'
import { positionOf } from '../../projector/checkpoint.ts'
import { readParked } from '../../projector/held-events.ts'
import { watchCopy } from '../copy-watch.ts'
import { REBUILD } from '../findings.ts'
import { type CheckName, type Examined, ok, skipped, warning, wrong } from './diagnosis.ts'
import { type Patient, patiently } from './patient.ts'

/** The database, and whether what it holds is of this log. */

export async function checkDatabase({ db, stream }: Patient): Promise<Examined> {
  try {
    if (await isMigrated(db)) {
      const [row] = await querying('ask the database', () =>
        db.execute<{ version: string }>(sql`select current_setting('server_version') as version`),
      )
      return ok('database', `PostgreSQL ${row?.version.split(' ')[0]}, with the schema of this version`)
    }
    const isNew = await stream().then(
      (state) => (state?.lastSeq ?? 0) === 0,
      () => false,
    )
    const found = "its schema is not this version's"
    return (isNew ? warning : wrong)('database', found, 'faafo migrate')
  } catch (error) {
    const reason = isFaafoError(error) ? (error.details.reason ?? error.message) : messageOf(rootCause(error))
    return wrong('database', `it does not answer: ${reason}`, 'start it, or set DATABASE_URL to where it is')
  }
}

const DIFFERENCE: Record<LogDifference, CheckName> = {
  'another-log': 'log-identity',
  'end-lost': 'log-end',
  'another-event': 'checkpoint',
}
const ACCEPT = `put the right store folder of the broker back, or accept this log: ${REBUILD}`

/** Whether the log is the one that the checkpoint was taken from, and has all of it; and whether the rows fit to it. */
export async function checkPosition(patient: Patient): Promise<Examined[]> {
  const { stream, log } = patient
  const row = await patient.checkpoint()
  if (!(await stream())) return skippedAll('there is no stream')
  if (!row || row.seq === 0) return skippedAll('nothing was read of the log yet')
  const position = positionOf(row)
  const at = `event ${position.seq}`
  const found = new Map<CheckName, Examined>([
    ['log-identity', ok('log-identity', 'the log that the table was made from')],
    ['log-end', ok('log-end', `it has ${at}, where the checkpoint stands`)],
    ['checkpoint', ok('checkpoint', `it stands at ${at}, and no newer row was seen`)],
  ])
  try {
    await patiently(() => verifyPosition(log, position))
  } catch (error) {
    if (!isFaafoError(error, 'log-replaced')) throw error
    const check = DIFFERENCE[error.details.difference as LogDifference]
    const hint = check === 'checkpoint' ? '; the log lost its end and went on, or the checkpoint was moved' : ''
    // In this order one difference hides the others.
    for (const other of ['checkpoint', 'log-end', 'log-identity'] as const) {
      if (other === check) break
      found.set(other, skipped(other, 'the log is another one, or lost its end'))
    }
    found.set(check, wrong(check, `${error.message}${hint}`, ACCEPT))
  }
  const beyond = await rowBeyond(patient)
  if (beyond !== null && found.get('checkpoint')?.severity === 'ok') {
    found.set('checkpoint', wrong('checkpoint', `the table holds event ${beyond}, which is beyond it`, REBUILD))
  }
  return [...found.values()]
}

const skippedAll = (why: string) =>
  (['log-identity', 'log-end', 'checkpoint'] as const).map((check) => skipped(check, why))

/**
 * The sequence of a row that was changed lately, where it is beyond the checkpoint beside it. By the indexes there are:
 * verify looks at every row.
 */
async function rowBeyond({ db }: Patient): Promise<number | null> {
  const newest = sql<string>`greatest(
    (select last_seq from ${fractal} order by first_seq desc limit 1),
    (select last_seq from ${fractal} where finished_at is not null order by finished_at desc limit 1), 0)`
  const [row] = await querying('read the newest rows', () =>
    db.select({ seq: checkpoint.seq, newest }).from(checkpoint).where(eq(checkpoint.projection, liveModel.projection)),
  )
  return row && Number(row.newest) > row.seq ? Number(row.newest) : null
}

/** Younger than this is no lag. */
const LAG_S = 5
const WATCH_MS = 3_000
const LOOK_MS = 250

export async function checkProjector(patient: Patient): Promise<Examined> {
  const { db, stream, signal, roll } = patient
  const row = await patient.checkpoint()
  const state = await stream()
  if (!state) return skipped('projector', 'there is no stream')
  const seq = row?.seq ?? 0
  if (row?.halted) {
    const [, park] = /`(faafo replay park [^`]+)`/.exec(row.halted) ?? []
    return wrong('projector', `it halted: ${row.halted}`, park ?? ACCEPT)
  }
  const behind = Math.max(0, state.lastSeq - seq)
  const seconds = behind === 0 ? 0 : await ageOf(patient, seq + 1)
  const text = `the table is ${behind} events and ${Math.round(seconds)} s behind the log`
  if (behind === 0) return ok('projector', `the table holds all of the log's ${state.lastSeq} events`)
  if (seconds <= LAG_S) return ok('projector', text)
  const goesOn = (how: string) => warning('projector', `${text}${how}`, 'wait for it; nothing is lost')
  const isBuilt = watchCopy(db, nextModel)
  for (const until = Date.now() + WATCH_MS; Date.now() < until; await pause(LOOK_MS, signal)) {
    const moved = ((await readCheckpoint(db))?.seq ?? 0) !== seq
    if (moved) return goesOn(', and goes on')
    if (await isBuilt()) return goesOn('; a new one is being built')
  }
  const isThere = (await roll()).some(({ service }) => service === 'projector')
  return isThere
    ? wrong('projector', `${text}, and stands still although a projector runs`, 'see what the projector logs')
    : wrong('projector', `${text}, and no projector answers`, 'faafo projector')
}

/** Whether events are passed by because nobody could handle them. */
export async function checkParked({ db, checkpoint }: Patient): Promise<Examined> {
  await checkpoint()
  const parked = await readParked(db)
  const [first] = parked
  if (!first) return ok('parked', 'no event is parked')
  const found =
    parked.length === 1
      ? `event ${first.cursor} is parked, and its fractal is held back as it was`
      : `${parked.length} events are parked, and their fractals are held back as they were`
  return warning('parked', found, 'faafo replay park list --kind event')
}

/** Seconds by the broker's clock since an event came into this log. */
async function ageOf({ log, brokerClock }: Patient, seq: number): Promise<number> {
  const [event, { least, most }] = await Promise.all([patiently(() => log.messageAt(seq)), brokerClock()])
  if (!event) return 0
  return Math.max(0, (Date.now() + (least + most) / 2 - (event.storedAt ?? event.recordedAt)) / 1000)
}
