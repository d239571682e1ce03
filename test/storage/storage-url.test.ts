import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { parseStorageUrl } from '../../services/storage/storage-url.ts'

test('a file: URL is a path as written; with slashes in front it is decoded', () => {
  assert.equal(parseStorageUrl('file:/var/lib/faafo'), { kind: 'file', dir: '/var/lib/faafo' })
  assert.equal(parseStorageUrl('file:images/100% new'), { kind: 'file', dir: 'images/100% new' })
  assert.equal(parseStorageUrl('file:///var/lib/my%20images'), { kind: 'file', dir: '/var/lib/my images' })
})

test('a nats-object: URL names a bucket', () => {
  assert.equal(parseStorageUrl('nats-object:fractal_images-2'), { kind: 'nats-object', bucket: 'fractal_images-2' })
})

test('what is no storage URL is refused with what a good one looks like', () => {
  for (const url of ['', 'file:', 'file://host/images', 's3://bucket', '/var/lib', 'nats-object:', 'nats-object:a.b']) {
    try {
      parseStorageUrl(url)
      assert.unreachable(url)
    } catch (error) {
      assert.ok(isFaafoError(error, 'invalid-config'), url)
      assert.match(error.message, 'expected file:/some/folder, file:some/folder or nats-object:bucket')
    }
  }
})

test.run()
