import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readManifest } from '../../services/replay/export-folder.ts'
import { originOf } from '../../services/replay/export-format.ts'
import { generateLog } from '../support/generated-log.ts'
import { fileOf, linesOf, refused, withOnePlace } from './with-export.ts'

test('the hash of a line is one that other tools compute, too', () =>
  withOnePlace(async (place, dir) => {
    await generateLog(place.server.url, 9)
    await place.exportTo(dir)
    const manifest = await readManifest(dir)
    let previous = originOf(manifest ?? { log: '', since: null })
    for (const text of (await readFile(fileOf(dir), 'utf8')).trim().split('\n')) {
      const [content = '', hash] = text.split(',"hash":')
      previous = createHash('sha256')
        .update(previous + content)
        .digest('hex')
      assert.is(hash, `"${previous}"}`)
    }
  }))

test('any byte that is another one is found, and its line is named', () =>
  withOnePlace(async (place, dir) => {
    await generateLog(place.server.url, 9)
    await place.exportTo(dir)
    const sound = await readFile(fileOf(dir))
    const lineAt = (byte: number) => sound.subarray(0, byte).filter((each) => each === 10).length + 1
    const copy = join(dir, 'copy')
    await mkdir(copy)
    const manifest = await readFile(join(dir, 'manifest.json'))
    const flipped = (bytes: Buffer, byte: number, bit: number) => {
      const damaged = Buffer.from(bytes)
      damaged[byte] = (damaged[byte] ?? 0) ^ (1 << bit)
      return damaged
    }
    await writeFile(join(copy, 'manifest.json'), manifest)
    for (let byte = 0; byte < sound.length; byte++) {
      await writeFile(fileOf(copy), flipped(sound, byte, byte % 8))
      const { code, details, message } = await refused(linesOf(copy))
      assert.equal([code, details.line], ['export-unusable', lineAt(byte)], message)
    }
    await writeFile(fileOf(copy), sound)
    for (let byte = 0; byte < manifest.length; byte++) {
      await writeFile(join(copy, 'manifest.json'), flipped(manifest, byte, byte % 8))
      const { code, message } = await refused(linesOf(copy))
      assert.is(code, 'export-unusable')
      assert.match(message, /manifest\.json: /)
    }
  }))

test('a line that is left out, exchanged or cut off is found', () =>
  withOnePlace(async (place, dir) => {
    await generateLog(place.server.url, 9)
    await place.exportTo(dir)
    const lines = (await readFile(fileOf(dir), 'utf8')).split(/(?<=\n)/)
    const [one = '', two = '', three = '', ...others] = lines
    for (const [text, line] of [
      [[two, three, ...others], 1],
      [[one, three, two, ...others], 2],
      [[one, two, three, ...others.slice(0, -1)], 9],
      [[...lines.slice(0, 8), (lines[8] ?? '').slice(0, -1)], 9],
    ] as const) {
      await writeFile(fileOf(dir), text.join(''))
      const { code, details } = await refused(linesOf(dir))
      assert.equal([code, details.line], ['export-unusable', line])
    }
    await rm(fileOf(dir))
    assert.match((await refused(linesOf(dir))).message, /the manifest speaks of 9 lines, 0 are there/)
  }))

test.run()
