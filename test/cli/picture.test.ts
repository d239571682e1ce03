import { createHash } from 'node:crypto'
import { readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { PNG } from 'pngjs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodePng, pixelChecksumOf } from '../../services/kernel/decode.ts'
import { describe } from '../../services/kernel/description.ts'
import { KERNEL_VERSION } from '../../services/kernel/julia.ts'
import { compressRows, encodePng, type Texts, textsOf } from '../../services/kernel/png.ts'
import { renderPng } from '../../services/kernel/render.ts'
import { collect } from '../support/collect.ts'
import { juliaRequest } from '../support/julia-request.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'
import { runHere, startProgram } from './run-program.ts'
import { json, requested, withScriptedApi } from './scripted-api.ts'

const uuid = '0f5b0d5c-8f5e-4c1e-9f0b-3f1f6f2a7c11'
const params = juliaRequest(40, 30, 60)
const { bytes: picture, result: drawn } = await collect(renderPng({ uuid, params }))
const foreign = PNG.sync.write(new PNG({ width: 3, height: 2 }))

/** These pixels, in truecolour, with texts before them. */
async function encode(width: number, height: number, rgb: Uint8Array, texts: Texts): Promise<Buffer> {
  return (await collect(encodePng({ width, height, palette: null, texts }, [compressRows(3 * width, rgb)]))).bytes
}

/** `picture` written anew, with these changes of its pixels and texts. */
async function rewritten(texts: Texts = {}, change: (rgb: Uint8Array) => void = () => {}): Promise<Buffer> {
  const { width, height, rgb } = decodePng(picture)
  change(rgb)
  return encode(width, height, rgb, { ...textsOf(picture), ...texts })
}

/** Runs a command with a file of these bytes as its last argument. */
const runWith = (bytes: Uint8Array, ...args: string[]) =>
  withTempDir(async (dir) => {
    const file = join(dir, 'a.png')
    await writeFile(file, bytes)
    const { code, stdout, stderr } = await runHere([...args, file])
    return { code, stdout: stdout.replaceAll(file, 'a.png'), stderr: stderr.replaceAll(file, 'a.png') }
  })

const progress = 'rendering: 100 %, 30 of 30 rows\n'

test('inspect shows what a picture says of itself, and the checksum of its file', async () => {
  const table = await runWith(picture, 'inspect')
  assert.is(table.code, 0, table.stderr)
  for (const [name, value] of Object.entries({
    uuid,
    dimensions: '40 x 30 pixels',
    iterations: 60,
    cy: 0.156,
    kernel_version: KERNEL_VERSION,
    pixel_checksum: drawn.pixelChecksum,
  })) {
    assert.match(table.stdout, new RegExp(`^\\| ${name} +\\| ${value} +\\|$`, 'm'))
  }
  const printed = await runWith(picture, 'inspect', '--output', 'json')
  assert.equal(JSON.parse(printed.stdout), {
    uuid,
    ...params,
    kernel_version: KERNEL_VERSION,
    pixel_checksum: drawn.pixelChecksum,
    size: picture.length,
    checksum: createHash('sha256').update(picture).digest('hex'),
  })
  assert.is(printed.stderr, '')
})

test('inspect shows what a picture says though it be wrong, but nothing that a terminal would obey', async () => {
  const { code, stdout } = await runWith(await rewritten({ Kernel: '\x1b[2J\x9b2Jx', Fractal: 'mine' }), 'inspect')
  assert.is(code, 0)
  assert.match(stdout, /\| uuid +\| mine /)
  assert.not.match(stdout.replaceAll('\n', ''), /\p{Cc}/u)
})

test('what is no picture of ours is one line that names the file', async () => {
  for (const command of [['inspect'], ['verify'], ['create', '--like']]) {
    for (const [bytes, expected] of [
      [foreign, 'it says nothing of itself, unlike the pictures of faafo'],
      [Buffer.from('GIF89a'), 'it is not a PNG'],
      [Buffer.alloc(0), 'it is not a PNG'],
      [picture.subarray(0, -1), 'it ends early'],
      [await rewritten({ Request: '{' }), 'its request is not JSON'],
    ] as const) {
      const { code, stdout, stderr } = await runWith(bytes, ...command)
      assert.equal({ code, stdout, stderr }, { code: 1, stdout: '', stderr: `faafo: cannot read a.png: ${expected}\n` })
    }
    const missing = await runHere([...command, '/nowhere/a.png'])
    assert.equal([missing.code, missing.stderr], [1, 'faafo: cannot read /nowhere/a.png: there is no such file\n'])
    const folder = await runHere([...command, '/'])
    assert.equal([folder.code, folder.stderr], [1, 'faafo: cannot read /: it is a folder\n'])
    const endless = await runHere([...command, '/dev/zero'])
    assert.equal(
      [endless.code, endless.stderr],
      [1, `faafo: cannot read /dev/zero: it is larger than any picture of faafo\n`],
    )
  }
})

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

test('render draws what it is told, and the file can be verified', () =>
  withTempDir(async (dir) => {
    const file = join(dir, 'a.png')
    const options = Object.entries(params).flatMap(([name, value]) => [`--${name}`, String(value)])
    const { code, stdout, stderr } = await runHere(['render', ...options, '-o', file])
    assert.is(code, 0, stderr)
    assert.is(stdout, '')
    const png = await readFile(file)
    assert.is(stderr, `${progress}wrote ${file} (40 x 30 pixels, ${png.length} bytes)\n`)
    assert.equal(describe(png), { uuid: null, params, kernelVersion: KERNEL_VERSION, ...drawn })
    assert.is(pixelChecksumOf(png), drawn.pixelChecksum)
    assert.is((await runHere(['verify', file])).code, 0)
    assert.equal(await readdir(dir), ['a.png'])
  }))

test('render draws at random what it is not told, within the bounds given', () =>
  withTempDir(async (dir) => {
    const read = async (name: string) => {
      const file = join(dir, name)
      const args = [
        'render',
        '-o',
        file,
        '--max-height',
        '300',
        '--min-xa',
        '-2',
        '--max-xa',
        '-1.5',
        '--iterations',
        '9',
      ]
      const { code, stderr } = await runHere(args)
      assert.is(code, 0, stderr)
      return describe(await readFile(file))?.params
    }
    const [one, other] = [await read('a.png'), await read('b.png')]
    for (const found of [one, other]) {
      assert.ok(found && found.height >= 256 && found.height <= 300, `height ${found?.height}`)
      assert.ok(found.xa >= -2 && found.xa <= -1.5, `xa ${found.xa}`)
      assert.ok(found.cx >= found.xa && found.cx <= found.xb, `cx ${found.cx}`)
      assert.is(found.iterations, 9)
    }
    assert.is.not(one?.yb, other?.yb)
  }))

test('render refuses what the api would refuse, before it writes anything', () =>
  withTempDir(async (dir) => {
    const file = join(dir, 'a.png')
    for (const [args, expected] of [
      [['--width', '1', '--iterations', 'x', '-o', file], /render a fractal: .*--width: expected .*--iterations: /],
      [['--width', '16385', '-o', file], /--width: expected a whole number from 2 to 16384, got 16385/],
      [['--cx', '1', '-o', file], /--cx: cx and cy go together/],
      [['--tasks', '2', '-o', file], /unknown option '--tasks'/],
      [['-o', ''], /cannot use --output-file ''/],
      [[], /required option '-o, --output-file <file>' not specified/],
    ] as const) {
      const { code, stdout, stderr } = await runHere(['render', ...args])
      assert.is(code, 2, stderr)
      assert.is(stdout, '')
      assert.match(stderr, expected)
      assert.is(stderr.split('\n').length, 2)
    }
    assert.equal(await readdir(dir), [])
    const nowhere = await runHere(['render', '-o', '/nowhere/a.png'])
    assert.equal(
      [nowhere.code, nowhere.stderr],
      [1, 'faafo: cannot write /nowhere/a.png: there is no folder /nowhere\n'],
    )
  }))

test('render follows a symbolic link, and writes to standard output where it is told to', () =>
  withTempDir(async (dir) => {
    const link = join(dir, 'link.png')
    await symlink('real.png', link)
    const options = ['--width', '40', '--height', '30']
    assert.is((await runHere(['render', ...options, '-o', link])).code, 0)
    assert.equal((await readdir(dir)).sort(), ['link.png', 'real.png'])
    assert.is(describe(await readFile(join(dir, 'real.png')))?.params.width, 40)
    const { code, stdout, stderr } = await runHere(['render', ...options, '-o', '-'])
    assert.is(code, 0)
    assert.ok(stdout.includes('IHDR') && stdout.includes('IEND'))
    assert.is(stderr, progress)
  }))

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGHUP', 129],
] as const) {
  test(`${signal} while a picture is drawn leaves no file`, () =>
    withTempDir(async (cwd) => {
      const endless = ['--width', '16384', '--height', '300', '--iterations', '1000000', '--cx', '0.25', '--cy', '0']
      const window = ['--xa', '0', '--xb', '0.1', '--ya', '0', '--yb', '0.1']
      const { child, ended } = startProgram(['render', ...endless, ...window, '-o', 'a.png'], { cwd })
      await until(async () => (await readdir(cwd)).some((name) => name.endsWith('.part')), { what: 'it draws' })
      child.kill(signal)
      const { code, stderr } = await ended
      assert.equal([code, stderr], [expected, ''])
      assert.equal(await readdir(cwd), [])
    }))
}

const like = (bytes: Uint8Array, ...args: string[]) => {
  const bodies: Record<string, unknown>[] = []
  return withScriptedApi(
    ({ body }) => {
      bodies.push(body as Record<string, unknown>)
      return json(requested({ uuid: (body as { uuid: string }).uuid }), 201)
    },
    (endpoint) =>
      withTempDir(async (dir) => {
        await writeFile(join(dir, 'a.png'), bytes)
        const { code, stderr } = await runHere(['create', '--like', join(dir, 'a.png'), ...args], endpoint)
        assert.is(code, 0, stderr)
      }),
  ).then(() => bodies)
}

test('create --like asks for the picture that a file describes, as a fractal of its own', async () => {
  const [body, ...others] = await like(picture)
  const { uuid: chosen, ...asked } = body ?? {}
  assert.equal(asked, params)
  assert.is.not(chosen, uuid)
  assert.equal(others, [])
})

test('create --like gives way to every option', async () => {
  const [exact] = await like(picture, '--width', '400', '--cy', '0.2', '--uuid', uuid)
  assert.equal(exact, { ...params, width: 400, cy: 0.2, uuid })
  const bodies = await like(picture, '--tasks', '3', '--min-height', '500', '--max-height', '600')
  assert.is(bodies.length, 3)
  for (const { uuid: _, height, ...rest } of bodies) {
    const { height: __, ...expected } = params
    assert.equal(rest, expected)
    assert.ok(Number(height) >= 500 && Number(height) <= 600, `height ${height}`)
  }
})

test('create --like keeps every digit', async () => {
  const exact = { ...params, xa: -1 / 3, xb: 1e-300, cx: Number.MIN_VALUE, cy: 123456789.12345679 }
  const [body] = await like(await rewritten({ Request: JSON.stringify(exact) }))
  const { uuid: _, ...asked } = body ?? {}
  assert.equal(asked, exact)
})

test.run()
