import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError } from '../../events/errors.ts'
import { fateOf, taskErrorOf } from '../../services/worker/fate.ts'

test('trouble of storage or log blocks, a failed render is tried again, an image that cannot be mended fails', () => {
  assert.is(fateOf(new FaafoError('storage-full', 'cannot store')), 'block')
  assert.is(fateOf(new FaafoError('log-unavailable', 'cannot append')), 'block')
  assert.is(fateOf(new FaafoError('render-failed', 'cannot render')), 'retry')
  assert.is(fateOf(new FaafoError('image-lost', 'cannot mend')), 'fail')
})

test('an unknown error is tried again, and does not tell its text', () => {
  const error = new TypeError('secret of /home/somebody')
  assert.is(fateOf(error), 'retry')
  assert.is(taskErrorOf(error).code, 'internal')
  assert.not.match(taskErrorOf(error).message, /secret/)
})

test.run()
