import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { FaafoError } from '../../events/errors.ts'
import { damaged } from './image-store.ts'

export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/**
 * The same bytes cut anew: every piece `size` bytes long but the last. Each piece is memory of its own, so the
 * source may reuse its buffers. Throws `aborted` as soon as `signal` fires, also while the source is silent.
 */
export async function* inPieces(chunks: Chunks, size: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  let piece: Uint8Array | undefined
  let filled = 0
  for await (const chunk of signal ? abortable(chunks, signal) : chunks) {
    for (let rest = chunk; rest.length > 0; ) {
      piece ??= Buffer.allocUnsafe(size)
      const part = rest.subarray(0, size - filled)
      piece.set(part, filled)
      filled += part.length
      rest = rest.subarray(part.length)
      if (filled === size) {
        yield piece
        piece = undefined
        filled = 0
      }
    }
  }
  if (piece) yield piece.subarray(0, filled)
}

async function* abortable(chunks: Chunks, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const source = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]()
  let abort = () => {}
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(new FaafoError('aborted', 'cannot store the image: aborted', { cause: signal.reason }))
  })
  aborted.catch(() => {})
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort)
  let finished = false
  try {
    for (;;) {
      const next = await Promise.race([aborted, source.next()])
      if (next.done) {
        finished = true
        return
      }
      yield next.value
    }
  } finally {
    signal.removeEventListener('abort', abort)
    // Not awaited: a source that hangs would answer only after its pending chunk.
    if (!finished) void Promise.resolve(source.return?.()).catch(() => {})
  }
}

/** `chunks` as a stream that is pulled (nothing is read ahead) and whose last chunk is held back until all match `key`. */
export function verifiedBody(key: string, chunks: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const verified = verify(key, chunks)
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await verified.next()
        if (next.done) controller.close()
        else controller.enqueue(next.value)
      },
      async cancel() {
        await verified.return(undefined)
      },
    },
    { highWaterMark: 0 },
  )
}

async function* verify(key: string, chunks: AsyncIterable<Uint8Array>) {
  const hash = createHash('sha256')
  let held: Uint8Array | undefined
  for await (const chunk of chunks) {
    hash.update(chunk)
    if (held) yield held
    held = chunk
  }
  if (hash.digest('hex') !== key) throw damaged(key)
  if (held) yield held
}
