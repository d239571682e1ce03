/*
 * Makes a small picture of every finished fractal, and removes it with the fractal. The broker keeps the place under the
 * name `thumbnailer`: several of these share the work, and one that dies loses nothing. An event may come twice; to make
 * the same file again does no harm.
 *
 *   NATS_URL=nats://127.0.0.1:4222 FAAFO_ENDPOINT_URL=http://127.0.0.1:8080 npx tsx examples/thumbnailer.ts thumbnails
 */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { createClient, isFaafoError } from 'faafo/client'
import { subscribe } from 'faafo/events'
import { PNG } from 'pngjs'

const folder = process.argv[2] ?? 'thumbnails'
const SIDE = 64
const client = createClient({ endpoint: process.env.FAAFO_ENDPOINT_URL ?? 'http://127.0.0.1:8080' })
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())

await mkdir(folder, { recursive: true })
await subscribe(
  {
    servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222',
    durable: 'thumbnailer',
    inHand: 16,
    after: '0',
    types: ['TaskCompleted', 'TaskDeleted'],
    signal: stop.signal,
  },
  async (event) => {
    if ('unreadable' in event) return
    const file = join(folder, `${event.subject}.png`)
    if (event.type === 'TaskDeleted') return rm(file, { force: true })
    try {
      const image = await client.image(event.subject, { signal: stop.signal })
      await writeFile(`${file}.part`, thumbnailOf(await image.bytes()))
      await rename(`${file}.part`, file)
    } catch (error) {
      // Deleted, or rendered anew: another event says so.
      if (!isFaafoError(error, 'not-found') && !isFaafoError(error, 'removed') && !isFaafoError(error, 'not-ready'))
        throw error
    }
  },
)

function thumbnailOf(png: Uint8Array): Buffer {
  const image = PNG.sync.read(Buffer.from(png))
  const scale = Math.max(image.width, image.height) / SIDE
  const small = new PNG({ width: Math.ceil(image.width / scale), height: Math.ceil(image.height / scale) })
  for (let y = 0; y < small.height; y++) {
    for (let x = 0; x < small.width; x++) {
      const from = (Math.floor(y * scale) * image.width + Math.floor(x * scale)) * 4
      image.data.copy(small.data, (y * small.width + x) * 4, from, from + 4)
    }
  }
  return PNG.sync.write(small)
}
