import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { messageOf } from '../../events/errors.ts'

export type CheckedDownload = {
  url: string
  /** Written whole and checked, or not there after a failure. */
  file: string
  /** Hex digits */
  sha256: string
  signal?: AbortSignal | undefined
  /** Longest wait for the answer to begin; short, for without a network another way is tried next. */
  connectMs?: number
  /** Longest wait between two pieces. */
  stallMs?: number
}

/** Fetches `url` into `file`. Throws where it cannot be reached, stalls, is answered badly or has another checksum. */
export async function downloadChecked({
  url,
  file,
  sha256,
  signal,
  connectMs = 5_000,
  stallMs = 20_000,
}: CheckedDownload): Promise<void> {
  const watchdog = new AbortController()
  const expire = (what: string) => () => watchdog.abort(new Error(what))
  let timer = setTimeout(expire(`no answer within ${connectMs / 1000} s`), connectMs)
  try {
    const answer = await fetch(url, {
      signal: signal ? AbortSignal.any([signal, watchdog.signal]) : watchdog.signal,
      redirect: 'follow',
    })
    if (!answer.ok || !answer.body) throw new Error(`answered ${answer.status}`)
    const hash = createHash('sha256')
    await pipeline(
      Readable.fromWeb(answer.body as Parameters<typeof Readable.fromWeb>[0]),
      async function* (pieces: AsyncIterable<Uint8Array>) {
        for await (const piece of pieces) {
          clearTimeout(timer)
          timer = setTimeout(expire(`nothing came for ${stallMs / 1000} s`), stallMs)
          hash.update(piece)
          yield piece
        }
      },
      createWriteStream(file),
    )
    const got = hash.digest('hex')
    if (got !== sha256) throw new Error(`its SHA-256 is ${got}, expected ${sha256}`)
  } catch (error) {
    await rm(file, { force: true })
    // "fetch failed" alone says nothing: the cause does.
    const reason = error instanceof Error && error.cause !== undefined ? error.cause : error
    throw new Error(`cannot fetch ${url}: ${messageOf(reason)}`, { cause: error })
  } finally {
    clearTimeout(timer)
  }
}
