import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { link, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import process from 'node:process'
import { z } from 'zod'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { pause } from '../platform/shutdown.ts'
import { isAlive, startOf } from './process-identity.ts'

/*
 * One process holds a data folder: it made the file lock.<n> with the highest n, and that file names a living process.
 *
 * A stale lock is never removed to make room, for two starters that find it could each remove and then make one. The
 * next starter makes lock.<n + 1> instead, which link() lets only one do, and only then clears the lower ones away. n
 * never falls: release marks the file and leaves it. A starter that was slow, and made a number that had been used and
 * cleared away before, sees the higher number when it looks again, and steps back.
 */

const lockSchema = z.object({
  pid: z.number(),
  host: z.string(),
  processStart: z.string().nullable(),
  since: z.string(),
  what: z.string(),
  released: z.boolean(),
})
type Lock = z.infer<typeof lockSchema>

const LOCK = /^lock\.(\d+)$/
/** The holder touches its lock this often, so that machines which share the folder and cannot see its pid can tell. */
const HEARTBEAT_MS = 2_000

export type HeldDataDir = { release(): Promise<void> }

/**
 * Takes the data folder for this process, making it where there is none; `what` says what holds it, such as
 * `faafo up`. Throws `data-dir-held` while another process (or this one) has it, `start-failed` where the folder
 * cannot be made or written to.
 */
export async function holdDataDir(
  dir: string,
  { what = 'faafo', foreignWaitMs = 3 * HEARTBEAT_MS }: { what?: string; foreignWaitMs?: number } = {},
): Promise<HeldDataDir> {
  const folder = resolve(dir)
  const mine: Lock = {
    pid: process.pid,
    host: hostname(),
    processStart: startOf(process.pid),
    since: new Date().toISOString(),
    what,
    released: false,
  }
  const draft = join(folder, `.lock-${randomUUID()}`)
  try {
    await makeFolder(folder)
    await writeFile(draft, JSON.stringify(mine), { flag: 'wx' })
    const file = await win(folder, draft, foreignWaitMs)
    const heartbeat = setInterval(() => {
      const now = new Date()
      utimes(file, now, now).catch(() => undefined)
    }, HEARTBEAT_MS).unref()
    return {
      async release() {
        clearInterval(heartbeat)
        await writeFile(draft, JSON.stringify({ ...mine, released: true }))
        await rename(draft, file)
      },
    }
  } catch (error) {
    if (error instanceof FaafoError) throw error
    throw new FaafoError(
      'start-failed',
      `cannot use the data folder ${folder}: ${messageOf(error)}; set DATA_DIR to a folder that can be written to`,
      { cause: error },
    )
  } finally {
    await rm(draft, { force: true }).catch(() => undefined)
  }
}

/** With its parents. Not by mkdir's own recursion, which on Node never comes back from a folder such as /proc. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder)
  } catch (error) {
    if (isCode(error, 'EEXIST')) return
    if (!isCode(error, 'ENOENT') || dirname(folder) === folder || existsSync(dirname(folder))) throw error
    await makeFolder(dirname(folder))
    await mkdir(folder)
  }
}

/** Links `draft` as the highest lock of the folder and returns that file; throws `data-dir-held`. */
async function win(folder: string, draft: string, foreignWaitMs: number): Promise<string> {
  for (;;) {
    const highest = Math.max(0, ...(await lockNumbers(folder)))
    if (highest > 0) {
      const file = join(folder, `lock.${highest}`)
      const holder = await readLock(file)
      if (holder && (await isHeld(holder, file, foreignWaitMs))) throw heldError(folder, file, holder)
    }
    const file = join(folder, `lock.${highest + 1}`)
    try {
      await link(draft, file)
    } catch (error) {
      if (isCode(error, 'EEXIST')) continue
      throw error
    }
    const numbers = await lockNumbers(folder)
    if (numbers.some((n) => n > highest + 1)) {
      await rm(file, { force: true })
      continue
    }
    for (const n of numbers) if (n <= highest) await rm(join(folder, `lock.${n}`), { force: true })
    return file
  }
}

async function lockNumbers(folder: string): Promise<number[]> {
  const names = await readdir(folder)
  return names.flatMap((name) => LOCK.exec(name)?.[1] ?? []).map(Number)
}

/** null where the file is gone or is not a lock of ours (cut short by a full disk, say). */
async function readLock(file: string): Promise<Lock | null> {
  try {
    return lockSchema.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch {
    return null
  }
}

async function isHeld(lock: Lock, file: string, foreignWaitMs: number): Promise<boolean> {
  if (lock.released) return false
  if (lock.host !== hostname()) {
    const seen = await modifiedAt(file)
    await pause(foreignWaitMs)
    return (await modifiedAt(file)) !== seen
  }
  if (!isAlive(lock.pid)) return false
  const start = startOf(lock.pid)
  return start === null || lock.processStart === null || start === lock.processStart
}

const modifiedAt = async (file: string): Promise<number> => (await stat(file).catch(() => null))?.mtimeMs ?? 0

function heldError(folder: string, file: string, { pid, host, since, what }: Lock): FaafoError {
  const foreign = host !== hostname()
  return new FaafoError(
    'data-dir-held',
    `cannot use the data folder ${folder}: ${what} (pid ${pid}${foreign ? ` on ${host}` : ''}, started ${since}) holds it; stop that one first, or set DATA_DIR to another folder`,
    { details: { folder, file, pid, host, foreign, since } },
  )
}

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code

const runtimeSchema = z.object({
  pid: z.number(),
  processStart: z.string().nullable(),
  natsUrl: z.string(),
  databaseUrl: z.string(),
  apiUrl: z.string(),
  storageUrl: z.string().optional(),
  syncInterval: z.string().optional(),
  processes: z.array(z.object({ name: z.string(), pid: z.number() })).default([]),
})
/** What runs on a data folder and where its parts are to be reached, for tools in other terminals. */
export type Runtime = Omit<z.infer<typeof runtimeSchema>, 'processStart'>

/** Records in `runtime.json` what this process serves now, replacing what stood there. */
export async function writeRuntime(dir: string, urls: Omit<Runtime, 'pid'>): Promise<void> {
  const draft = join(dir, `.runtime-${randomUUID()}`)
  await writeFile(draft, JSON.stringify({ pid: process.pid, processStart: startOf(process.pid), ...urls }, null, 2))
  await rename(draft, join(dir, 'runtime.json'))
}

/** What runs on this data folder; null where nothing does (no record, or its process is gone). */
export async function readRuntime(dir: string): Promise<Runtime | null> {
  try {
    const record = runtimeSchema.parse(JSON.parse(await readFile(join(dir, 'runtime.json'), 'utf8')))
    const { processStart, ...runtime } = record
    return isAlive(record.pid) && startOf(record.pid) === processStart ? runtime : null
  } catch {
    return null
  }
}

/** Takes the record away; nothing happens where there is none. */
export const removeRuntime = (dir: string): Promise<void> => rm(join(dir, 'runtime.json'), { force: true })
