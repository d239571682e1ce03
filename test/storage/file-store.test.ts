import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fileStore } from '../../services/storage/file-store.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'
import { fails } from './failure.ts'

const image = new TextEncoder().encode('not quite a PNG')
const key = '0'.repeat(64)

test('an image stands under the first two digits of its key', () =>
  withTempDir(async (dir) => {
    const { key } = await fileStore(dir).put([image])
    assert.equal(await readdir(join(dir, key.slice(0, 2))), [`${key}.png`])
  }))

test('a folder that cannot be written is an error that names it', () =>
  withTempDir(async (dir) => {
    await writeFile(join(dir, 'file'), '')
    const store = fileStore(join(dir, 'file', 'images'))
    for (const work of [() => store.put([image]), () => store.check()]) {
      assert.match(await fails('storage-unavailable', work), `cannot open ${join(dir, 'file', 'images')}: ENOTDIR`)
    }
    await fails('storage-unavailable', () => store.get(key))
  }))

test('a folder that nobody has written to yet is an empty store', () =>
  withTempDir(async (dir) => {
    const store = fileStore(join(dir, 'later'))
    assert.is(await store.get(key), null)
    assert.is(await store.tidy(), 0)
    for await (const _ of store.list()) assert.unreachable()
    assert.equal(await readdir(dir), [])
  }))

test('a folder that was removed in the meantime is made again', () =>
  withTempDir(async (dir) => {
    const store = fileStore(join(dir, 'images'))
    const { key } = await store.put([image])
    await rm(join(dir, 'images'), { recursive: true })
    assert.is(await store.has(key), false)
    await store.put([image])
    assert.ok(await store.has(key))
    await rm(join(dir, 'images'), { recursive: true })
    await store.check()
  }))

test('what puts left behind more than a day ago is removed when the store is opened', () =>
  withTempDir(async (dir) => {
    const tmp = join(dir, 'tmp')
    await mkdir(tmp)
    await writeFile(join(tmp, 'old'), image)
    await writeFile(join(tmp, 'new'), image)
    const twoDaysAgo = Date.now() / 1000 - 2 * 86_400
    await utimes(join(tmp, 'old'), twoDaysAgo, twoDaysAgo)
    await fileStore(dir).put([image])
    await until(async () => (await readdir(tmp)).join() === 'new', { what: 'only the new file is left' })
  }))

test('files that are no images are left out of the list', () =>
  withTempDir(async (dir) => {
    const store = fileStore(dir)
    const { key } = await store.put([image])
    await writeFile(join(dir, key.slice(0, 2), 'notes.txt'), '')
    await writeFile(join(dir, '.DS_Store'), '')
    const keys: string[] = []
    for await (const { key } of store.list()) keys.push(key)
    assert.equal(keys, [key])
  }))

test('an image that is removed before its body is read is said to be lost', () =>
  withTempDir(async (dir) => {
    const store = fileStore(dir)
    const { key } = await store.put([image])
    const stored = await store.get(key)
    await store.remove(key)
    await fails('image-lost', async () => stored?.body.getReader().read())
  }))

test.run()
