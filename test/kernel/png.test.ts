import { Buffer } from 'node:buffer'
import { deflateSync, inflateSync } from 'node:zlib'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { adler32, joinAdler32 } from '../../services/kernel/adler32.ts'
import { decodePng, pixelChecksumOf } from '../../services/kernel/decode.ts'
import { PALETTE } from '../../services/kernel/julia.ts'
import { compressRows, encodePng, type Piece, sizeOf, type Texts, textsOf } from '../../services/kernel/png.ts'
import { collect } from '../support/collect.ts'
import { rgbOf } from '../support/draw-rows.ts'

type Bands = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

async function* piecesOf(width: number, bands: Bands): AsyncGenerator<Piece> {
  for await (const band of bands) yield compressRows(width, band)
}

const encodeBands = (width: number, height: number, bands: Bands) =>
  encodePng({ width, height, palette: PALETTE }, piecesOf(width, bands))

const encode = async (width: number, height: number, bands: Bands) =>
  (await collect(encodeBands(width, height, bands))).bytes

/** The CRC of the PNG specification, bit by bit. */
function crcOf(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let k = 0; k < 8; k++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  }
  return (crc ^ 0xffffffff) >>> 0
}

function chunksOf(png: Buffer): { type: string; data: Buffer }[] {
  const chunks = []
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at)
    const typed = png.subarray(at + 4, at + 8 + length)
    assert.is(png.readUInt32BE(at + 8 + length), crcOf(typed), 'CRC')
    chunks.push({ type: typed.toString('latin1', 0, 4), data: typed.subarray(4) })
    at += 12 + length
  }
  return chunks
}

/** Indices without any pattern, the same at every run. */
function noise(length: number): Uint8Array {
  let state = 12345
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return (state >>> 16) & 31
  })
}

for (const [width, height] of [
  [2, 2],
  [3, 16_384],
  [16_384, 3],
  [17, 5],
  [256, 256],
  [701, 499],
] as const) {
  test(`${width} × ${height} has the right chunks, CRCs, rows and pixels`, async () => {
    const indices = noise(width * height)
    const png = await encode(width, height, [indices])
    assert.is(png.subarray(0, 8).toString('latin1'), '\x89PNG\r\n\x1a\n')
    const chunks = chunksOf(png)
    const types = chunks.map((chunk) => chunk.type)
    assert.equal([...new Set(types)], ['IHDR', 'PLTE', 'IDAT', 'IEND'])
    assert.equal(types.filter((type) => type !== 'IDAT').length, 3)
    const header = chunks[0]?.data ?? Buffer.alloc(0)
    assert.equal(
      [header.readUInt32BE(0), header.readUInt32BE(4), ...header.subarray(8)],
      [width, height, 8, 3, 0, 0, 0],
    )
    assert.equal(chunks[1]?.data, Buffer.from(PALETTE))

    const idat = Buffer.concat(chunks.filter((chunk) => chunk.type === 'IDAT').map((chunk) => chunk.data))
    assert.is(inflateSync(idat).length, (width + 1) * height)
    const decoded = decodePng(png)
    assert.equal([decoded.width, decoded.height], [width, height])
    assert.ok(rgbOf(indices).equals(decoded.rgb))
  })
}

test('texts stand before and after the pixels, and change none of them', async () => {
  const indices = noise(300 * 200)
  const before: Texts = { Software: 'a program', Comment: 'é, ÿ and "quotes"' }
  let read = 0
  function* pieces() {
    for (const half of [indices.subarray(0, 30_000), indices.subarray(30_000)]) {
      yield compressRows(300, half)
      read++
    }
  }
  const image = { width: 300, height: 200, palette: PALETTE, texts: before }
  const { bytes } = await collect(encodePng(image, pieces(), () => ({ Read: `${read} pieces`, Empty: '' })))
  const types = chunksOf(bytes).map((chunk) => chunk.type)
  assert.equal(types, ['IHDR', 'PLTE', 'tEXt', 'tEXt', 'IDAT', 'IDAT', 'IDAT', 'tEXt', 'tEXt', 'IEND'])
  assert.equal(textsOf(bytes), { ...before, Read: '2 pieces', Empty: '' })
  assert.is(pixelChecksumOf(bytes), pixelChecksumOf(await encode(300, 200, [indices])))
})

test('without a palette a pixel is a colour of its own', async () => {
  for (const [width, height] of [
    [2, 2],
    [17, 5],
    [300, 200],
  ] as const) {
    const rgb = Uint8Array.from(noise(width * height * 3), (value, k) => value * 8 + (k % 7))
    const rows = Math.ceil(height / 3)
    const pieces = [rgb.subarray(0, rows * width * 3), rgb.subarray(rows * width * 3)].map((part) =>
      compressRows(width * 3, part),
    )
    const { bytes } = await collect(encodePng({ width, height, palette: null }, pieces))
    const chunks = chunksOf(bytes)
    assert.not.ok(chunks.some((chunk) => chunk.type === 'PLTE'))
    assert.is(chunks[0]?.data[9], 2, 'truecolour')
    const decoded = decodePng(bytes)
    assert.equal([decoded.width, decoded.height], [width, height])
    assert.ok(Buffer.from(rgb).equals(decoded.rgb))
  }
})

test('the sides stand in the header, which a cut file may not have', async () => {
  const png = await encode(20, 30, [noise(600)])
  assert.equal(sizeOf(png), { width: 20, height: 30 })
  assert.throws(
    () => sizeOf(png.subarray(0, 23)),
    (error: unknown) => isFaafoError(error, 'image-damaged'),
  )
})

test('a picture is the same wherever its rows are split into bands', async () => {
  const width = 300
  const height = 250
  const indices = noise(width * height)
  const whole = pixelChecksumOf(await encode(width, height, [indices]))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: height }), { maxLength: 12 }), async (cuts) => {
      const edges = [0, ...cuts.sort((a, b) => a - b), height]
      const bands = edges.slice(1).map((y1, k) => indices.subarray((edges[k] ?? 0) * width, y1 * width))
      assert.is(pixelChecksumOf(await encode(width, height, bands)), whole)
    }),
    { numRuns: 30 },
  )
})

test('joined sums are the sum of all', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20_000 }), fc.nat(), (bytes, cut) => {
      const at = cut % (bytes.length + 1)
      const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)]
      const whole = adler32(bytes)
      assert.is(joinAdler32(adler32(head), adler32(tail), tail.length), whole)
      assert.is(whole, deflateSync(bytes).readUInt32BE(deflateSync(bytes).length - 4)) // RFC 1950: it closes the stream
    }),
  )
  const full = new Uint8Array(300_000).fill(255)
  assert.is(adler32(full), deflateSync(full).readUInt32BE(deflateSync(full).length - 4))
})

test('every piece owns its buffer, so that it can be handed to another thread', async () => {
  for (const side of [64, 512]) {
    const bands = [noise(side * side)]
    for await (const piece of encodeBands(side, side, bands)) {
      assert.is(piece.buffer.byteLength, piece.byteLength)
    }
  }
})

test('too few rows, too many and parts of rows are refused', async () => {
  for (const side of [8, 400]) {
    for (const length of [0, side * (side - 1), side * (side + 1), side * side - 1]) {
      const error = await encode(side, side, [noise(length)]).catch((e) => e)
      assert.ok(isFaafoError(error, 'render-failed'), `${side}: ${length} pixels`)
    }
  }
})

test('an error of the bands comes out of the encoder', async () => {
  for (const side of [8, 400]) {
    async function* bands() {
      yield noise(side)
      throw new Error('no more')
    }
    const error = await encode(side, side, bands()).catch((e) => e)
    assert.is(error.message, 'no more')
  }
})

test('a reader that leaves early ends the bands', async () => {
  let ended = false
  function* bands() {
    try {
      for (let y = 0; y < 4096; y++) yield noise(4096)
    } finally {
      ended = true
    }
  }
  let pieces = 0
  for await (const _ of encodeBands(4096, 4096, bands())) {
    if (++pieces === 3) break
  }
  for (let turn = 0; !ended && turn < 1000; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(ended)
})

test('bands are taken no faster than the file is read', async () => {
  let taken = 0
  function* bands() {
    for (; taken < 4096; taken++) yield noise(4096)
  }
  const pieces = encodeBands(4096, 4096, bands())
  await pieces.next()
  await pieces.next()
  for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(taken < 200, `${taken} bands were taken`)
  await pieces.return()
})

test('damaged, cut and foreign bytes are not decoded', async () => {
  const png = await encode(20, 20, [noise(400)])
  const flipped = Buffer.from(png)
  flipped[200] = (flipped[200] ?? 0) ^ 1
  for (const bytes of [
    flipped,
    png.subarray(0, png.length - 20),
    png.subarray(0, 30),
    Buffer.from('GIF89a'),
    Buffer.alloc(0),
  ]) {
    try {
      pixelChecksumOf(bytes)
      assert.unreachable()
    } catch (error) {
      assert.ok(isFaafoError(error, 'image-damaged'), String(error))
    }
  }
})

test.run()
