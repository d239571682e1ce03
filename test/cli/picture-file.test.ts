import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { PNG } from 'pngjs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KERNEL_VERSION } from '../../services/kernel/julia.ts'
import { drawn, params, picture, rewritten, runWith, uuid } from './picture.ts'
import { runHere } from './run-program.ts'

const foreign = PNG.sync.write(new PNG({ width: 3, height: 2 }))

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

test.run()
