import { Buffer } from 'node:buffer'
import { crc32 } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodePng } from '../../services/kernel/decode.ts'
import { KERNEL_VERSION } from '../../services/kernel/julia.ts'
import { renderPng } from '../../services/kernel/render.ts'
import { collect } from '../support/collect.ts'
import { drawn, params, picture, progress, rewritten, runWith, uuid } from './picture.ts'

test('verify draws a picture again and finds the same', async () => {
  const { code, stdout, stderr } = await runWith(picture, 'verify')
  assert.is(code, 0, stderr)
  assert.is(stdout, `reproduced: a.png of fractal '${uuid}', 40 x 30 pixels, pixel checksum ${drawn.pixelChecksum}\n`)
  assert.is(stderr, progress)
})

test('verify asks for the same pixels, not for the same file', async () => {
  const { code, stdout } = await runWith(await rewritten({ Comment: 'written anew' }), 'verify')
  assert.is(code, 0)
  assert.match(stdout, /^reproduced: a\.png /)
})

test('verify takes a large picture, too', async () => {
  // several bands, more pixels than are drawn in one go
  const large = { ...params, width: 1200, height: 900 }
  const { bytes } = await collect(renderPng({ uuid: null, params: large }))
  const { code, stdout, stderr } = await runWith(bytes, 'verify')
  assert.is(code, 0, stderr)
  assert.match(stdout, /^reproduced: a\.png, 1200 x 900 pixels, /)
})

test('verify says where pixels differ, and how many', async () => {
  const { rgb } = decodePng(picture)
  const at = 3 * (12 * 40 + 7)
  const hex = (pixel: Uint8Array) => `#${Buffer.from(pixel).toString('hex')}`
  const expected = hex(rgb.subarray(at, at + 3))
  const one = await runWith(await rewritten({}, (rgb) => rgb.set([1, 2, 3], at)), 'verify')
  assert.is(one.code, 1)
  assert.is(one.stdout, '')
  assert.is(
    one.stderr,
    `${progress}faafo: cannot reproduce a.png: 1 of 1200 pixels differs; the first, x 7, y 12, is #010203, expected ${expected}\n`,
  )
  const all = await runWith(await rewritten({ Kernel: 'julia-0' }, (rgb) => rgb.fill(255)), 'verify')
  assert.is(all.code, 1)
  assert.match(
    all.stderr,
    /1200 of 1200 pixels differ; the first, x 0, y 0, is #ffffff, expected #[0-9a-f]{6}; it names /,
  )
  assert.ok(all.stderr.endsWith(`; it names the kernel 'julia-0', this is '${KERNEL_VERSION}'\n`), all.stderr)
})

test('verify finds a request that was altered', async () => {
  const iterations = await runWith(await rewritten({ Request: JSON.stringify({ ...params, iterations: 5 }) }), 'verify')
  assert.is(iterations.code, 1)
  assert.match(iterations.stderr, /cannot reproduce a\.png: \d+ of 1200 pixels differ; the first, x \d+, y \d+, is #/)
  const width = await runWith(await rewritten({ Request: JSON.stringify({ ...params, width: 41 }) }), 'verify')
  assert.is(width.code, 1)
  assert.is(width.stderr, 'faafo: cannot reproduce a.png: it is 40 x 30 pixels, its request is for 41 x 30 pixels\n')
})

test('verify finds a pixel checksum that was altered', async () => {
  const { code, stderr } = await runWith(await rewritten({ 'Pixel-Checksum': 'abc' }), 'verify')
  assert.is(code, 1)
  assert.is(
    stderr,
    `${progress}faafo: cannot reproduce a.png: all pixels are those of its request, but it says that their checksum is 'abc'; it is ${drawn.pixelChecksum}\n`,
  )
})

test('a picture of another kernel with the same pixels is reproduced, which is said', async () => {
  const { code, stdout } = await runWith(await rewritten({ Kernel: 'julia-0' }), 'verify')
  assert.is(code, 0)
  assert.ok(stdout.endsWith(`; it names the kernel 'julia-0', this is '${KERNEL_VERSION}'\n`), stdout)
})

test('verify does not begin to draw what nobody may request', async () => {
  const request = JSON.stringify({ ...params, width: 10 ** 9, iterations: 0 })
  const { code, stderr } = await runWith(await rewritten({ Request: request }), 'verify')
  assert.is(code, 1)
  assert.match(
    stderr,
    /^faafo: cannot read a\.png: its request is none that may be made: width: expected .* got 1000000000; iterations: /,
  )
})

test('a picture that is damaged, or cannot be decoded, is a line, too', async () => {
  const damaged = Buffer.from(picture)
  const at = damaged.indexOf('IDAT') + 20
  damaged[at] = (damaged[at] ?? 0) ^ 1
  const first = await runWith(damaged, 'verify')
  assert.equal([first.code, first.stderr], [1, 'faafo: cannot read a.png: its pixels are damaged\n'])

  const foreign = Buffer.from(picture)
  const header = foreign.indexOf('IHDR')
  foreign[header + 13] = 5 // no such colour type
  foreign.writeUInt32BE(crc32(foreign.subarray(header, header + 17)), header + 17)
  const second = await runWith(foreign, 'verify')
  assert.is(second.code, 1)
  assert.match(second.stderr, /^faafo: cannot decode a\.png: [^\n]+\n$/m)
})

test.run()
