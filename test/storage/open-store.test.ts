import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openStore } from '../../services/storage/open-store.ts'

test('a bucket needs a connection, and gets its name in the namespace', () => {
  assert.is(openStore('file:images').kind, 'file')
  assert.throws(() => openStore('nats-object:images'), /needs a connection to the broker/)
  const asked: string[] = []
  const store = openStore('nats-object:images', {
    nats: () => {
      throw new Error('not connected')
    },
    bucketName(bucket) {
      asked.push(bucket)
      return `staging-${bucket}`
    },
  })
  assert.is(store.kind, 'nats-object')
  assert.equal(asked, ['images'])
})

test.run()
