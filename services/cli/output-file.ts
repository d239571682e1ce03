import { randomUUID } from 'node:crypto'
import { open, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { FaafoError } from '../../events/errors.ts'
import { reasonOf } from './output.ts'

/**
 * Writes a file that stands under its name only once it is whole and `check` found nothing wrong with the draft. A
 * device or a pipe gets the pieces as they come, unchecked. Throws `storage-unavailable`, and what `pieces` and `check` throw.
 */
export async function writeOutput(
  file: string,
  pieces: AsyncIterable<Uint8Array>,
  check: (draft: string) => Promise<void> = async () => {},
): Promise<void> {
  const found = await stat(file).catch(() => null)
  if (found?.isDirectory()) throw unwritable(file, 'it is a folder')
  if (found && !found.isFile()) {
    // A device or a pipe: it is written to, never replaced.
    await writeAll(file, 'w', pieces).catch((error) => {
      throw error instanceof FaafoError ? error : unwritable(file, reasonOf(error), error)
    })
    return
  }
  const target = await targetOf(file)
  const draft = join(dirname(target), `.${basename(target)}.${randomUUID()}.part`)
  try {
    await writeAll(draft, 'wx', pieces).catch((error) => {
      if (error instanceof FaafoError) throw error
      throw unwritable(file, error.code === 'ENOENT' ? `there is no folder ${dirname(target)}` : reasonOf(error), error)
    })
    await check(draft)
    await rename(draft, target).catch((error) => {
      throw unwritable(file, reasonOf(error), error)
    })
  } finally {
    await rm(draft, { force: true }).catch(() => {})
  }
}

/** The file behind a symbolic link, which is not to be replaced; it may be still to come. */
const targetOf = (file: string): Promise<string> =>
  realpath(file).catch(() =>
    readlink(file).then(
      (link) => resolve(dirname(file), link),
      () => file,
    ),
  )

async function writeAll(file: string, flag: 'w' | 'wx', pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await open(file, flag)
  try {
    for await (const piece of pieces) await handle.writeFile(piece)
  } finally {
    await handle.close()
  }
}

const unwritable = (file: string, reason: string, cause?: unknown) =>
  new FaafoError('storage-unavailable', `cannot write ${file}: ${reason}`, { cause })
