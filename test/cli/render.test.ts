import { readdir, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { pixelChecksumOf } from '../../services/kernel/decode.ts'
import { describe } from '../../services/kernel/describe.ts'
import { KERNEL_VERSION } from '../../services/kernel/julia.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'
import { drawn, params, progress } from './picture.ts'
import { runHere, startProgram } from './run-program.ts'

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

test.run()
