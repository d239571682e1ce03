import { Buffer } from 'node:buffer'
import { createHash, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { type ImageStore, readVerified } from '../../services/storage/image-store.ts'
import { type Bench, backEnds } from './image-benches.ts'

const keyOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

async function bytesOf(body: ReadableStream<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function read(store: ImageStore, key: string): Promise<Buffer | null> {
  const image = await store.get(key)
  return image && bytesOf(image.body)
}

async function keysOf(store: ImageStore): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of store.list()) keys.push(key)
  return keys.sort()
}

/** The code of the error that `work` ends with; 'none' where it does not. */
async function codeOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work()
    return 'none'
  } catch (error) {
    return isFaafoError(error) ? error.code : `not ours: ${error}`
  }
}

/** 64 KB pieces in one buffer that is used again and again, as an encoder may do. */
async function* streamed(megabytes: number) {
  const piece = new Uint8Array(65_536)
  for (let i = 0; i < megabytes * 16; i++) {
    piece.fill(i)
    new DataView(piece.buffer).setUint32(0, i)
    yield piece
  }
}

for (const [backEnd, withStore] of backEnds) {
  const contract = (law: string, body: (bench: Bench) => Promise<void>) =>
    test(`${backEnd}: ${law}`, () => withStore(body))

  contract('what is put can be read back, under the hash of its bytes', async ({ store }) => {
    assert.is(store.kind, backEnd)
    for (const size of [0, 1, 5_000, 131_072, 131_073, 262_144, 3_000_001]) {
      const bytes = randomBytes(size)
      assert.equal(await store.put([bytes]), { key: keyOf(bytes), size })
      const image = await store.get(keyOf(bytes))
      assert.ok(image, `size ${size}`)
      assert.is(image.size, size)
      assert.ok((await bytesOf(image.body)).equals(bytes), `size ${size}`)
      assert.ok(await store.has(keyOf(bytes)))
    }
  })

  contract('what was put since a moment outlives a removal of what was put before', async ({ store, leftovers }) => {
    const { key } = await store.put([randomBytes(5_000)])
    const putAt = async () => {
      for await (const image of store.list()) if (image.key === key) return image.putAt
      return 0
    }
    const before = await putAt()
    await store.remove(key, { putBefore: before })
    assert.is((await read(store, key))?.length, 5_000)
    assert.is(await putAt(), before)
    await store.remove(key, { putBefore: before + 1 })
    assert.equal([await keysOf(store), await leftovers()], [[], []])
    await store.remove(key, { putBefore: before })
  })

  contract('a large image streams in and out', async ({ store }) => {
    const expected = createHash('sha256')
    for await (const piece of streamed(40)) expected.update(piece)
    const { key, size } = await store.put(streamed(40))
    assert.is(key, expected.digest('hex'))
    assert.is(size, 40 * 1024 * 1024)
    const read = createHash('sha256')
    const image = await store.get(key)
    assert.ok(image)
    for await (const chunk of image.body) read.update(chunk)
    assert.is(read.digest('hex'), key)
  })

  contract('however the bytes are cut, key and content are the same', async ({ store }) => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 2_000 }),
        fc.integer({ min: 1, max: 300 }),
        fc.array(fc.nat(600_000), { maxLength: 6 }),
        async (seed, repeat, cuts) => {
          const bytes = Buffer.concat(Array.from({ length: repeat }, () => seed))
          const edges = [0, ...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length]
          const { key } = await store.put(edges.slice(1).map((edge, i) => bytes.subarray(edges[i], edge)))
          assert.is(key, keyOf(bytes))
          assert.ok((await read(store, key))?.equals(bytes))
        },
      ),
      { numRuns: 40 },
    )
  })

  contract('putting the same bytes again renews the age and nothing else', async ({ store, leftovers }) => {
    const bytes = randomBytes(300_000)
    const { key } = await store.put([bytes])
    const ages = async () => {
      const found: number[] = []
      for await (const { putAt } of store.list()) found.push(putAt)
      return found
    }
    const [first] = await ages()
    assert.ok(first !== undefined && Math.abs(first - Date.now()) < 60_000)
    while (Date.now() <= first + 5) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.is((await store.put([bytes])).key, key)
    const again = await ages()
    assert.is(again.length, 1)
    assert.ok((again[0] ?? 0) > first)
    assert.ok((await read(store, key))?.equals(bytes))
    assert.equal(await leftovers(), [])
  })

  contract('concurrent puts of one image leave it once, and whole', async ({ store, leftovers }) => {
    const bytes = randomBytes(400_000)
    const puts = await Promise.all(Array.from({ length: 12 }, () => store.put([bytes])))
    assert.equal(new Set(puts.map(({ key }) => key)), new Set([keyOf(bytes)]))
    assert.ok((await read(store, keyOf(bytes)))?.equals(bytes))
    assert.equal(await keysOf(store), [keyOf(bytes)])
    assert.equal(await leftovers(), [])
  })

  contract('a reader goes on while its image is put again', async ({ store }) => {
    const bytes = randomBytes(2_000_000)
    const { key } = await store.put([bytes])
    const image = await store.get(key)
    assert.ok(image)
    const chunks: Uint8Array[] = []
    for await (const chunk of image.body) {
      chunks.push(chunk)
      if (chunks.length % 3 === 1) await store.put([bytes])
    }
    assert.ok(Buffer.concat(chunks).equals(bytes))
  })

  contract('an aborted put leaves nothing, also when its source is silent', async ({ store, leftovers }) => {
    const abort = new AbortController()
    async function* silent() {
      yield* streamed(2)
      abort.abort()
      await new Promise(() => {})
    }
    assert.is(await codeOf(() => store.put(silent(), { signal: abort.signal })), 'aborted')
    assert.is(await codeOf(() => store.put([randomBytes(10)], { signal: AbortSignal.abort() })), 'aborted')
    assert.equal(await keysOf(store), [])
    assert.equal(await leftovers(), [])
  })

  contract('a source that fails leaves nothing, and its error is the answer', async ({ store, leftovers }) => {
    async function* failing() {
      yield* streamed(2)
      throw new RangeError('the render failed')
    }
    try {
      await store.put(failing())
      assert.unreachable()
    } catch (error) {
      assert.instance(error, RangeError)
    }
    assert.equal(await keysOf(store), [])
    assert.equal(await leftovers(), [])
  })

  contract('a damaged image is an error, never wrong bytes, until it is put again', async (bench) => {
    const { store } = bench
    for (const size of [5_000, 1_000_000]) {
      for (const damage of [bench.flipLastByte, bench.cutOffEnd]) {
        const bytes = randomBytes(size)
        const { key } = await store.put([bytes])
        await damage(key)
        const image = await store.get(key)
        let received = 0
        const code = await codeOf(async () => {
          for await (const chunk of image?.body ?? []) received += chunk.length
        })
        assert.is(code, 'image-damaged')
        assert.ok(received < size)
        assert.is(await codeOf(() => readVerified(store, key, size)), 'image-damaged')
        await store.put([bytes])
        assert.ok((await read(store, key))?.equals(bytes))
      }
    }
  })

  contract('small images are read whole, larger ones as a stream', async ({ store }) => {
    const bytes = randomBytes(200_000)
    const { key } = await store.put([bytes])
    const whole = await readVerified(store, key, bytes.length)
    assert.is(whole?.size, bytes.length)
    assert.ok(whole?.body instanceof Uint8Array && bytes.equals(whole.body))
    const larger = await readVerified(store, key, bytes.length - 1)
    assert.ok(larger && !(larger.body instanceof Uint8Array) && bytes.equals(await bytesOf(larger.body)))
    assert.is(await readVerified(store, keyOf(randomBytes(8)), 1_000), null)
  })

  contract('what was never put is unknown, and so is what is no key', async ({ store }) => {
    for (const key of [keyOf(randomBytes(8)), '', 'x', '../../etc/passwd', '*', '>', 'A'.repeat(64)]) {
      assert.is(await store.get(key), null)
      assert.is(await store.has(key), false)
      await store.remove(key)
    }
    assert.equal(await keysOf(store), [])
  })

  contract('the list holds every image until it is removed', async ({ store, leftovers }) => {
    const images = Array.from({ length: 30 }, (_, i) => randomBytes(100 + i))
    await Promise.all(images.map((bytes) => store.put([bytes])))
    const sizes = new Map<string, number>()
    for await (const { key, size } of store.list()) sizes.set(key, size)
    assert.equal([...sizes].sort(), images.map((bytes) => [keyOf(bytes), bytes.length]).sort())
    const [removed, ...kept] = images.map(keyOf)
    assert.ok(removed)
    await store.remove(removed)
    await store.remove(removed)
    assert.is(await store.get(removed), null)
    assert.is(await store.has(removed), false)
    assert.equal(await keysOf(store), kept.sort())
    assert.equal(await leftovers(), [])
    await store.put([images[0] ?? new Uint8Array()])
    assert.ok(await store.has(removed))
  })

  contract('images that are put while others are listed and removed are never lost', async ({ store }) => {
    const images = Array.from({ length: 8 }, () => randomBytes(2_000))
    for (let round = 0; round < 10; round++) {
      await Promise.all(images.flatMap((bytes) => [store.put([bytes]), store.remove(keyOf(bytes)), keysOf(store)]))
      for (const bytes of images) {
        await store.put([bytes])
        assert.ok((await read(store, keyOf(bytes)))?.equals(bytes))
      }
    }
  })

  contract('a body may be given up', async ({ store }) => {
    const { key } = await store.put(streamed(4))
    const unread = await store.get(key)
    await unread?.body.cancel()
    const begun = await store.get(key)
    const reader = begun?.body.getReader()
    assert.ok((await reader?.read())?.value)
    await reader?.cancel()
    assert.is((await read(store, key))?.length, 4 * 1024 * 1024)
  })

  contract('checking and tidying leave the images alone', async ({ store }) => {
    const { key } = await store.put([randomBytes(200_000)])
    await store.check()
    await store.check()
    assert.is(await store.tidy(), 0)
    assert.equal(await keysOf(store), [key])
  })
}

test.run()
