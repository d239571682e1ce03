import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { flushedFolder, flushFolder, flushingParams } from './flushed-folder.ts'

/** A folder whose opening never came to an end this often, without an error, counts as damaged. */
const MOST_UNFINISHED_OPENINGS = 3

export type OpenedDatabase = {
  database: PGlite
  /** Where a database that did not open was moved to, and why; null as a rule. A new one is empty. */
  setAside: { folder: string; reason: string } | null
}

/**
 * Opens the database in `folder`, making it where there is none. One that does not open is moved to
 * `<folder>.damaged-<time>` and replaced by an empty one, for its content can be made again from the log. Throws
 * `start-failed` where the folder cannot be used at all. The caller sees to it that no other process has it open.
 */
export async function openDatabase(folder: string): Promise<OpenedDatabase> {
  const marker = `${folder}.opening`
  try {
    await mkdir(dirname(folder), { recursive: true })
    const unfinished = Number(await readFile(marker, 'utf8').catch(() => '0')) || 0
    let setAside: OpenedDatabase['setAside'] = null
    if (unfinished >= MOST_UNFINISHED_OPENINGS && existsSync(folder))
      setAside = await moveAway(folder, `opening it did not come to an end ${unfinished} times`)
    await writeFile(marker, String(setAside ? 1 : unfinished + 1))
    const existed = existsSync(folder)
    let database: PGlite
    try {
      database = await open(folder)
    } catch (error) {
      if (!existed) throw error
      setAside = await moveAway(folder, messageOf(error))
      try {
        database = await open(folder)
      } catch (again) {
        // Not the content is at fault (a full disk, say): it goes back to where it was.
        await rm(folder, { recursive: true, force: true })
        await rename(setAside.folder, folder)
        throw again
      }
    }
    await rm(marker, { force: true })
    return { database, setAside }
  } catch (error) {
    throw new FaafoError('start-failed', `cannot open the embedded database in ${folder}: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

async function open(folder: string): Promise<PGlite> {
  // What the engine says while it dies is the reason; what it throws is an exit status.
  const said: string[] = []
  try {
    const isNew = !existsSync(join(folder, 'PG_VERSION'))
    const database = await PGlite.create({
      fs: flushedFolder(folder),
      startParams: flushingParams(PGlite.defaultStartParams),
      onStderr: (line) => said.push(line) > 0,
    })
    await database.query('select 1 from pg_class limit 1')
    if (isNew) await flushFolder(folder)
    return database
  } catch (error) {
    const fatal = said.find((line) => /FATAL|PANIC/.test(line))
    throw new Error(fatal ?? messageOf(error), { cause: error })
  }
}

async function moveAway(folder: string, reason: string): Promise<{ folder: string; reason: string }> {
  const away = `${folder}.damaged-${new Date().toISOString().replace(/[:.]/g, '-')}`
  await rename(folder, away)
  return { folder: away, reason }
}
