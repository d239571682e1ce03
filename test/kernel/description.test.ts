import { Buffer } from 'node:buffer'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { PNG } from 'pngjs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { pixelChecksumOf } from '../../services/kernel/decode.ts'
import { describe } from '../../services/kernel/describe.ts'
import { fractalIn, type RenderJob, textsAfter, textsBefore } from '../../services/kernel/description.ts'
import { KERNEL_VERSION } from '../../services/kernel/julia.ts'
import { compressRows, encodePng, type Texts } from '../../services/kernel/png.ts'
import { renderPng } from '../../services/kernel/render.ts'
import { collect } from '../support/collect.ts'
import { juliaRequest } from '../support/julia-request.ts'

const uuid = '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11'
const params = juliaRequest(20, 15, 60)

const draw = async (job: RenderJob) => collect(renderPng(job))

/** A picture of two by two pixels with these texts before and after them. */
async function withTexts(before: Texts, after: Texts = {}): Promise<Buffer> {
  const image = { width: 2, height: 2, palette: Uint8Array.of(0, 0, 0), texts: before }
  return (await collect(encodePng(image, [compressRows(2, new Uint8Array(4))], () => after))).bytes
}

/** The file with `from` replaced by as many letters in one of its texts, its CRC made right where `mended`. */
function altered(png: Buffer, from: string, to: string, mended: boolean): Buffer {
  const bytes = Buffer.from(png)
  const at = bytes.indexOf(from)
  assert.ok(at > 0 && from.length === to.length, from)
  bytes.write(to, at, 'latin1')
  const type = bytes.lastIndexOf('tEXt', at)
  const end = type + 4 + bytes.readUInt32BE(type - 4)
  if (mended) bytes.writeUInt32BE(crc32(bytes.subarray(type, end)), end)
  return bytes
}

function isDamaged(png: Uint8Array, message: RegExp) {
  try {
    describe(png)
  } catch (error) {
    assert.ok(isFaafoError(error, 'image-damaged'), String(error))
    assert.match(error.message, message)
    return
  }
  assert.unreachable('it was read')
}

test('a drawn picture says what was requested, which kernel drew it and the checksum of its pixels', async () => {
  for (const job of [
    { uuid, params },
    { uuid: null, params },
  ]) {
    const { bytes, result } = await draw(job)
    const { pixelChecksum } = result
    assert.equal(describe(bytes), { ...job, kernelVersion: KERNEL_VERSION, pixelChecksum })
    assert.is(pixelChecksumOf(bytes), pixelChecksum)
  }
})

test('every request is read back as it was written', async () => {
  const whole = fc.nat()
  // JSON has no −0, so that no request has one
  const real = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0)
  const shape = { width: whole, height: whole, iterations: whole, xa: real, xb: real, ya: real, yb: real }
  await fc.assert(
    fc.asyncProperty(
      fc.record({ ...shape, cx: real, cy: real }, { noNullPrototype: true }),
      fc.option(fc.uuid()),
      fc.string({ unit: 'grapheme-ascii' }),
      async (params, uuid, pixelChecksum) => {
        const png = await withTexts(textsBefore({ uuid, params }), textsAfter(pixelChecksum))
        assert.equal(describe(png), { uuid, params, kernelVersion: KERNEL_VERSION, pixelChecksum })
      },
    ),
  )
})

test('the PNG of another program says nothing of itself', async () => {
  const { Software, Request } = textsBefore({ uuid, params }) as Record<string, string>
  for (const png of [
    PNG.sync.write(new PNG({ width: 3, height: 2 })),
    await withTexts({}),
    await withTexts({ Software: 'gimp', Request: Request ?? '' }),
    await withTexts({ Request: Request ?? '' }),
    await withTexts({ Software: Software ?? '' }),
  ]) {
    assert.is(describe(png), null)
  }
})

test('a picture that names neither kernel nor checksum says so', async () => {
  const { Software = '', Request = '' } = textsBefore({ uuid, params }) as Record<string, string>
  const png = await withTexts({ Software, Request })
  assert.equal(describe(png), { uuid: null, params, kernelVersion: null, pixelChecksum: null })
})

test('a file that is cut anywhere is refused', async () => {
  const { bytes } = await draw({ uuid, params })
  for (let length = 0; length < bytes.length; length++) {
    isDamaged(bytes.subarray(0, length), length < 8 ? /it is not a PNG/ : /it ends early/)
  }
})

test('foreign bytes are refused', () => {
  isDamaged(Buffer.from('GIF89a and so on'), /cannot read the image: it is not a PNG/)
  isDamaged(Buffer.alloc(1000), /it is not a PNG/)
})

test('what was altered with a right CRC is read as it stands', async () => {
  const { bytes } = await draw({ uuid, params })
  const found = describe(bytes)
  const other = uuid.replace('0f5b', 'beef')
  for (const [from, to, expected] of [
    ['"width":20', '"width":99', { params: { ...params, width: 99 } }],
    [uuid, other, { uuid: other }],
    [KERNEL_VERSION, KERNEL_VERSION.toUpperCase(), { kernelVersion: KERNEL_VERSION.toUpperCase() }],
    [found?.pixelChecksum ?? '', '0'.repeat(64), { pixelChecksum: '0'.repeat(64) }],
  ] as const) {
    assert.equal(describe(altered(bytes, from, to, true)), { ...found, ...expected })
  }
})

test('a text whose CRC is wrong is refused', async () => {
  const { bytes } = await draw({ uuid, params })
  isDamaged(altered(bytes, '"width":20', '"width":99', false), /a text of it is damaged/)
  isDamaged(altered(bytes, 'Pixel-Checksum', 'Pixel-checksum', false), /a text of it is damaged/)
})

test('a request that is none is refused', async () => {
  const { Software = '' } = textsBefore({ uuid, params }) as Record<string, string>
  for (const [request, reason] of [
    ['', /its request is not JSON$/],
    ['x', /its request is not JSON$/],
    ['null', /its request is wrong: expected an object, got null$/],
    ['[]', /its request is wrong: expected an object, got a list$/],
    ['{}', /its request is wrong: width: is missing: expected a number; height: /],
    [JSON.stringify({ ...params, width: '20' }), /its request is wrong: width: expected a number, got "20"$/],
  ] as const) {
    isDamaged(await withTexts({ Software, Request: request }), reason)
  }
})

test('of which fractal a picture is can be told from its first bytes', async () => {
  const { bytes } = await draw({ uuid, params })
  assert.is(fractalIn(bytes.subarray(0, 2_000)), uuid)
  assert.is(fractalIn((await draw({ uuid: null, params })).bytes), null)
  assert.is(fractalIn(new Uint8Array()), null)
})

test.run()
