import { and, asc, eq, gt, sql } from 'drizzle-orm'
import { cursorOf } from '../../events/cursor.ts'
import { FaafoError, isFaafoError, messageOf } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import { objectionTo } from '../../events/legality.ts'
import type { Task } from '../../events/task.ts'
import { readCheckpoint } from '../platform/checkpoint.ts'
import { type Db, querying } from '../platform/database.ts'
import { fractalOf } from '../platform/fractal-row.ts'
import { verifyPosition } from '../platform/log-reader.ts'
import { migrateDatabase } from '../platform/migrate.ts'
import { liveModel, nextModel } from '../platform/read-model.ts'
import { checkpoint, type FractalRow, fractal } from '../platform/schema.ts'
import { pause } from '../platform/shutdown.ts'
import { positionOf } from '../projector/checkpoint.ts'
import type { ProjectorParts } from '../projector/fold-log.ts'
import { compareTable } from '../projector/rebuild.ts'
import type { ImageStore } from '../storage/image-store.ts'
import type { Renderer } from '../worker/rendering.ts'
import { watchCopy } from './copy-watch.ts'
import {
  cursorText,
  elsewhere,
  type Finding,
  type FindingKind,
  findingOf,
  illegal,
  imageFinding,
  more,
  type Objection,
  pictureFinding,
  REBUILD,
  unlooked,
  unreached,
  unsound,
} from './findings.ts'
import { passUnhandled } from './unhandled.ts'

export type Verified = {
  /** Sequence up to which the log was read. */
  seq: number
  fractals: number
  /** Images that were read, and pictures that were drawn again. */
  images: number
  drawn: number
  findings: Finding[]
}

export type VerifyProgress = { step: 'table' | 'log' | 'images' | 'pictures'; done: number; total: number }

export type VerifyOptions = {
  images: Pick<ImageStore, 'get'>
  render: Renderer
  /** How many pictures, chosen at random, are drawn again. May be Infinity. */
  pictures: number
  signal: AbortSignal
  onProgress?: (progress: VerifyProgress) => void
}

const PAGE = 200
/** Where so many images, or more, are missing, and none is there, somebody looks in the wrong place. */
const MANY = 3
/** Events that are told to be out of place at most, and fractals of which the log is asked whether they had been deleted. */
const MOST_OBJECTIONS = 1_000
const MOST_STRAYS = 100_000
/** Images that are read at the same time. */
const AT_ONCE = 4
/** So many looks at a table that is behind, and stands still, until nobody is expected to go on with it. */
const LOOKS = 20
const LOOK_MS = 250
/** Findings that say already why no projector goes on. */
const HALTING: ReadonlySet<FindingKind> = new Set(['checkpoint-astray', 'event-unreadable', 'log-unsound'])

/**
 * Proves that the table is the fold of the log, that the log itself is sound, that every image is there and whole, and
 * that pictures can be drawn again to the same pixels; and tells everything that is not so. Changes nothing. No false
 * alarm where events come meanwhile, or where a projector still brings what there was into the table: that is waited for.
 * Throws what keeps it from looking: `log-unavailable`, `database-unavailable`, `storage-unavailable`, `aborted`.
 */
export async function verify(
  parts: ProjectorParts,
  { images, render, pictures, signal, onProgress = () => {} }: VerifyOptions,
): Promise<Verified> {
  const { db, log, broker } = parts
  const findings: Finding[] = []
  const tell = (finding: Finding) => void findings.push(finding)

  await verifyCheckpoint()
  const lag = await lagOfTable()
  const { seq, fractals } = await verifyTable()
  if (lag && !findings.some(({ kind }) => HALTING.has(kind))) tell(lag)
  const read = await step('the images', verifyImages)
  const drawn = await step('the pictures', verifyPictures)
  return { seq, fractals, images: read, drawn, findings }

  /** What keeps a step from its end is told: it does not take along what was found before. */
  async function step(what: string, run: (count: () => number) => Promise<void>): Promise<number> {
    let done = 0
    try {
      await run(() => ++done)
    } catch (error) {
      if (signal.aborted) throw error
      const problem = `${what} could not be looked at to the end: ${messageOf(error)}`
      tell({ kind: 'unverified', uuid: null, cursor: null, problem, remedy: 'verify again once that is mended' })
    }
    return done
  }

  async function verifyCheckpoint(): Promise<void> {
    await migrateDatabase(db)
    const newest = sql<string>`(select coalesce(max(last_seq), 0) from ${fractal})`
    const [row] = await querying('read the checkpoint', () =>
      db.select({ checkpoint, newest }).from(checkpoint).where(eq(checkpoint.projection, liveModel.projection)),
    )
    if (!row) return
    const position = positionOf(row.checkpoint)
    const astray = (problem: string, remedy: string) =>
      tell({ kind: 'checkpoint-astray', uuid: null, cursor: cursorText(position.seq, position.id), problem, remedy })
    if (Number(row.newest) > position.seq) {
      astray(`the table holds event ${row.newest}, its checkpoint stands at event ${position.seq}`, REBUILD)
    }
    try {
      await verifyPosition(log, position)
    } catch (error) {
      if (!isFaafoError(error, 'log-replaced')) throw error
      astray(error.message, `put the right store folder of the broker back, or accept this log: ${REBUILD}`)
    }
  }

  /** Waits until the table holds what the log has now, as long as somebody brings it there; what is left is told. */
  async function lagOfTable(): Promise<Finding | null> {
    const { lastSeq } = await log.head()
    const isBuilt = watchCopy(db, nextModel)
    for (let still = 0, seen = -1; ; still++) {
      const seq = (await readCheckpoint(db))?.seq ?? 0
      if (seq >= lastSeq) return null
      if (seq !== seen || (await isBuilt())) still = 0
      if (still === LOOKS) return unreached(seq, lastSeq)
      seen = seq
      onProgress({ step: 'table', done: seq, total: lastSeq })
      await pause(LOOK_MS, signal)
      if (signal.aborted) throw interrupted()
    }
  }

  async function verifyTable(): Promise<{ seq: number; fractals: number }> {
    const unhandled = passUnhandled(parts)
    /** By sequence, for an event may be heard of twice. */
    const objections = new Map<number, Objection>()
    /** The first of each fractal to which nothing was known: as a rule one that was deleted long before. */
    const strays = new Map<string, Objection>()
    let leftOut = 0
    const observe = (before: Task, event: RecordedEvent) => {
      const reason = objectionTo(before, event)
      if (reason === null) return
      const { fractal, type, seq } = event
      const objection = { fractal, type, seq, cursor: cursorOf(event), reason }
      if (before.status !== 'unknown') {
        if (objections.size < MOST_OBJECTIONS) objections.set(seq, objection)
        else leftOut++
      } else if (strays.size < MOST_STRAYS) {
        if (!strays.has(fractal)) strays.set(fractal, objection)
      } else if (!strays.has(fractal)) leftOut++
    }
    try {
      const { seq, fractals, differing, differences } = await compareTable(parts, {
        signal,
        observe,
        decisionOn: unhandled.decisionOn,
        onProgress: ({ seq, lastSeq }) => onProgress({ step: 'log', done: seq, total: lastSeq }),
      })
      for (const finding of await unhandled.findings()) tell(finding)
      const excused = await unhandled.excused()
      for (const stray of strays.values()) if (!(await cameAfterDeletion(stray))) objections.set(stray.seq, stray)
      for (const objection of [...objections.values()].sort((a, b) => a.seq - b.seq)) {
        if (!excused.has(objection.fractal)) tell(illegal(objection))
      }
      if (leftOut > 0) tell(unlooked(leftOut))
      for (const difference of differences) tell(findingOf(difference))
      if (differing > differences.length) tell(more(differing - differences.length))
      return { seq, fractals }
    } catch (error) {
      if (!isFaafoError(error, 'log-replaced')) throw error
      tell(unsound(error))
      return { seq: Number(error.details.seq), fractals: 0 }
    }
  }

  /** The table forgets what was deleted: then the log is asked. */
  async function cameAfterDeletion({ fractal, seq }: Objection): Promise<boolean> {
    const removed = await log.read(broker.names.removed(fractal))
    return removed !== null && removed.seq < seq
  }

  async function verifyImages(count: () => number): Promise<void> {
    const [counted] = await querying('count the images', () =>
      db.select({ n: sql<string>`count(*)` }).from(fractal).where(isCompleted),
    )
    const total = Number(counted?.n ?? 0)
    let done = 0
    const found: { at: number; finding: Finding }[] = []
    const rows = completedRows(db, signal)
    async function work(): Promise<void> {
      for (let next = await rows.next(); !next.done; next = await rows.next()) {
        const kind = await imageFault(next.value)
        if (kind && (await isStill(next.value))) {
          found.push({ at: next.value.firstSeq, finding: imageFinding(kind, next.value) })
        }
        done = count()
        onProgress({ step: 'images', done, total: Math.max(total, done) })
      }
    }
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, work))
    } finally {
      const inOrder = found.sort((a, b) => a.at - b.at).map(({ finding }) => finding)
      const areAllMissing = done >= MANY && inOrder.filter(({ kind }) => kind === 'image-missing').length === done
      if (areAllMissing) tell(elsewhere(done))
      for (const finding of inOrder) tell(finding)
    }
  }

  async function imageFault({ imageKey }: FractalRow): Promise<'image-missing' | 'image-damaged' | null> {
    const image = await images.get(imageKey ?? '')
    if (!image) return 'image-missing'
    try {
      for await (const _ of image.body) if (signal.aborted) throw interrupted()
      return null
    } catch (error) {
      if (isFaafoError(error, 'image-damaged')) return 'image-damaged'
      throw error
    }
  }

  /** A row may have been mended or deleted since it was read. */
  async function isStill({ uuid, imageKey }: FractalRow): Promise<boolean> {
    const [row] = await querying('read the row again', () => db.select().from(fractal).where(eq(fractal.uuid, uuid)))
    return row?.imageKey === imageKey
  }

  async function verifyPictures(count: () => number): Promise<void> {
    if (pictures === 0) return
    const chosen = Number.isFinite(pictures) ? someRows(db, pictures) : completedRows(db, signal)
    for await (const row of chosen) {
      const pixels = await drawAgain(row)
      if (pixels !== row.pixelChecksum && (await isStill(row))) tell(pictureFinding(row, pixels))
      const done = count()
      onProgress({ step: 'pictures', done, total: Number.isFinite(pictures) ? pictures : done })
    }
  }

  async function drawAgain(row: FractalRow): Promise<string> {
    const rendering = await render({ uuid: row.uuid, params: fractalOf(row).params }, signal)
    try {
      for await (const _ of rendering.chunks);
      return rendering.pixelChecksum()
    } finally {
      rendering.stop()
    }
  }
}

const isCompleted = eq(fractal.status, 'completed')

/** In the order of creation. May be shared by several readers. */
async function* completedRows(db: Db, signal: AbortSignal): AsyncGenerator<FractalRow, void, undefined> {
  for (let after = 0; ; ) {
    const rows = await querying('read the table', () =>
      db
        .select()
        .from(fractal)
        .where(and(isCompleted, gt(fractal.firstSeq, after)))
        .orderBy(asc(fractal.firstSeq))
        .limit(PAGE),
    )
    const last = rows.at(-1)
    if (!last) return
    for (const row of rows) {
      if (signal.aborted) throw interrupted()
      yield row
    }
    after = last.firstSeq
  }
}

async function* someRows(db: Db, count: number): AsyncGenerator<FractalRow, void, undefined> {
  yield* await querying('choose pictures', () =>
    db.select().from(fractal).where(isCompleted).orderBy(sql`random()`).limit(count),
  )
}

const interrupted = () => new FaafoError('aborted', 'cannot go on verifying: it was interrupted')
