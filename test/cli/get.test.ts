import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { lstat, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { pixelChecksumOf } from '../../services/kernel/decode.ts'
import { compressRows, encodePng } from '../../services/kernel/png.ts'
import { collect } from '../support/collect.ts'
import { withTempDir } from '../support/temp.ts'
import { startProgram } from './run-program.ts'
import { fractal, json, problem, requested, type Script, withScriptedApi } from './scripted-api.ts'

const { uuid } = fractal()
const image = { width: 2, height: 2, palette: Uint8Array.of(0, 0, 0, 255, 128, 64) }
const { bytes: png } = await collect(encodePng(image, [compressRows(2, Uint8Array.of(0, 1, 1, 0))]))
const whole = fractal({
  width: 2,
  height: 2,
  size: png.length,
  checksum: createHash('sha256').update(png).digest('hex'),
  pixel_checksum: pixelChecksumOf(png),
})

const serving =
  (object: typeof whole, bytes: Uint8Array): Script =>
  ({ path }) =>
    path.endsWith('/image') ? new Response(Uint8Array.from(bytes)) : json(object)

test('the image is written under its uuid, or where it is told', () =>
  withScriptedApi(serving(whole, png), (endpoint) =>
    withTempDir(async (cwd) => {
      const { code, stdout, stderr } = await startProgram(['get', uuid], { endpoint, cwd }).ended
      assert.is(code, 0, stderr)
      assert.is(stdout, '')
      assert.is(stderr, `wrote ${uuid}.png (${png.length} bytes)\n`)
      assert.equal(await readFile(join(cwd, `${uuid}.png`)), png)
      await startProgram(['get', uuid, '-o', 'a.png', '--check-pixels'], { endpoint, cwd }).ended
      assert.equal((await readdir(cwd)).sort(), [`${uuid}.png`, 'a.png'].sort())
    }),
  ))

test('with -o - the image is all that goes to standard output', () =>
  withScriptedApi(serving(whole, png), (endpoint) =>
    withTempDir(async (cwd) => {
      const { code, stdout, stderr } = await startProgram(['get', uuid, '-o', '-'], { endpoint, cwd }).ended
      assert.is(code, 0)
      assert.ok(stdout.includes('PNG') && stdout.includes('IEND'))
      assert.is(stderr, '')
      assert.equal(await readdir(cwd), [])
    }),
  ))

test('a pipe is written to, not replaced', () =>
  withScriptedApi(serving(whole, png), (endpoint) =>
    withTempDir(async (cwd) => {
      const pipe = join(cwd, 'pipe')
      execFileSync('sh', ['-c', 'mkfifo "$0"', pipe])
      const [read, { code }] = await Promise.all([
        readFile(pipe),
        startProgram(['get', uuid, '-o', pipe], { endpoint, cwd }).ended,
      ])
      assert.is(code, 0)
      assert.equal(read, png)
      assert.equal(await readdir(cwd), ['pipe'])
    }),
  ))

test('a symbolic link is followed, not replaced', () =>
  withScriptedApi(serving(whole, png), (endpoint) =>
    withTempDir(async (cwd) => {
      const link = join(cwd, 'link.png')
      await symlink('real.png', link)
      // the target is still to come, then it is there
      for (const before of [null, 'old']) {
        if (before) await writeFile(join(cwd, 'real.png'), before)
        assert.is((await startProgram(['get', uuid, '-o', 'link.png'], { endpoint, cwd }).ended).code, 0)
        assert.ok((await lstat(link)).isSymbolicLink())
        assert.equal(await readFile(join(cwd, 'real.png')), png)
      }
      assert.equal((await readdir(cwd)).sort(), ['link.png', 'real.png'])
    }),
  ))

test('an image that is lost is to be had again by a command', () =>
  withScriptedApi(
    ({ path }) =>
      path.endsWith('/image')
        ? problem('image-lost', 404, `cannot show it; POST /v1/fractal/${uuid}/retry has it rendered again`)
        : json(whole),
    async (endpoint) => {
      const { code, stderr } = await startProgram(['get', uuid], { endpoint }).ended
      assert.is(code, 1)
      assert.is(stderr, `faafo: cannot show it; faafo retry ${uuid} has it rendered again\n`)
    },
  ))

test('an image that was damaged on the way is refused, and a file that was there is left alone', () =>
  withScriptedApi(serving(whole, png.subarray(0, -1)), (endpoint) =>
    withTempDir(async (cwd) => {
      await writeFile(join(cwd, `${uuid}.png`), 'mine')
      const { code, stderr } = await startProgram(['get', uuid], { endpoint, cwd }).ended
      assert.is(code, 1)
      assert.match(stderr, /^faafo: cannot get the image .* do not have the checksum [0-9a-f]{64}; try again\n$/)
      assert.equal(await readdir(cwd), [`${uuid}.png`])
      assert.is(await readFile(join(cwd, `${uuid}.png`), 'utf8'), 'mine')
    }),
  ))

test('other pixels than the fractal has are refused, unless only the file is to be checked', () =>
  withScriptedApi(serving({ ...whole, pixel_checksum: whole.checksum }, png), (endpoint) =>
    withTempDir(async (cwd) => {
      const { code, stderr } = await startProgram(['get', uuid], { endpoint, cwd }).ended
      assert.is(code, 1)
      assert.match(stderr, /its pixels do not have the checksum/)
      assert.equal(await readdir(cwd), [])
      assert.is((await startProgram(['get', uuid, '--no-check-pixels'], { endpoint, cwd }).ended).code, 0)
    }),
  ))

test('a great many pixels are checked only when asked for', () =>
  withScriptedApi(serving({ ...whole, width: 16_384, height: 16_384 }, png), (endpoint) =>
    withTempDir(async (cwd) => {
      const { code, stderr } = await startProgram(['get', uuid], { endpoint, cwd }).ended
      assert.is(code, 0)
      assert.match(stderr, /268435456 pixels are not checked/)
    }),
  ))

test('an unfinished fractal has no image yet', () =>
  withScriptedApi(serving(requested({ status: 'rendering' }), png), async (endpoint) => {
    const { code, stderr } = await startProgram(['get', uuid], { endpoint }).ended
    assert.is(code, 1)
    assert.is(stderr, `faafo: cannot get the image of fractal '${uuid}': it is rendering\n`)
  }))

test('a file that cannot be written is a line that names it', () =>
  withScriptedApi(serving(whole, png), async (endpoint) => {
    const { code, stderr } = await startProgram(['get', uuid, '-o', '/nowhere/a.png'], { endpoint }).ended
    assert.is(code, 1)
    assert.is(stderr, 'faafo: cannot write /nowhere/a.png: there is no folder /nowhere\n')
    const folder = await startProgram(['get', uuid, '-o', '/'], { endpoint }).ended
    assert.is(folder.code, 1)
    assert.is(folder.stderr, 'faafo: cannot write /: it is a folder\n')
  }))

test.run()
