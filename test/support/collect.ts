import { Buffer } from 'node:buffer'

/** Everything that a generator of pieces yields, joined, and what it returns. */
export async function collect<R>(pieces: AsyncGenerator<Uint8Array, R>): Promise<{ bytes: Buffer; result: R }> {
  const all: Uint8Array[] = []
  for (;;) {
    const next = await pieces.next()
    if (next.done) return { bytes: Buffer.concat(all), result: next.value }
    all.push(next.value)
  }
}
