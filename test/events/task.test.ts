import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ErrorCode, FaafoError } from '../../events/errors.ts'
import type { NewEvent } from '../../events/events.ts'
import { type Command, decide, fold } from '../../events/task.ts'
import { completed, params, recordedAll, sha256, uuid } from '../support/legal-history.ts'
import { cancelled, deleted, failed, failedIn, requested, retried, started } from './task-events.ts'

const request: Command = { type: 'request', fractal: uuid, params, chosen: ['cx', 'cy'], requestHash: sha256 }
const cancel: Command = { type: 'cancel', fractal: uuid, reason: 'asked for' }
const retry: Command = { type: 'retry', fractal: uuid, imageLost: false, pixelChecksum: null }
const mend: Command = { type: 'retry', fractal: uuid, imageLost: true, pixelChecksum: sha256 }
const remove: Command = { type: 'delete', fractal: uuid }

const decisions: { name: string; given: NewEvent[]; when: Command; expected: NewEvent[] | ErrorCode }[] = [
  { name: 'a request of an unknown uuid is recorded', given: [], when: request, expected: [requested()] },
  {
    name: 'who asked is recorded where it is known',
    given: [],
    when: { ...request, actor: 'ada' },
    expected: [requested({ actor: 'ada' })],
  },
  { name: 'the same request again changes nothing', given: [requested()], when: request, expected: [] },
  {
    name: 'the same request again changes nothing once completed',
    given: [requested(), completed(1)],
    when: request,
    expected: [],
  },
  {
    name: 'another constant that we chose makes no other request',
    given: [requested()],
    when: { ...request, params: { ...params, cx: 0.3, cy: 0.4 } },
    expected: [],
  },
  {
    name: 'a constant given where we had chosen one makes the same request only when it is the same',
    given: [requested()],
    when: { ...request, chosen: [], params: { ...params, cx: 0.3 } },
    expected: 'already-exists',
  },
  {
    name: 'a constant that we chose where one was given before makes another request',
    given: [requested({ chosen: [] })],
    when: request,
    expected: 'already-exists',
  },
  {
    name: 'another request of a taken uuid is refused',
    given: [requested()],
    when: { ...request, params: { ...params, width: 65 } },
    expected: 'already-exists',
  },
  {
    name: 'a request of a removed uuid is refused',
    given: [requested(), cancelled(), deleted],
    when: request,
    expected: 'removed',
  },
  { name: 'a waiting fractal can be cancelled', given: [requested()], when: cancel, expected: [cancelled()] },
  {
    name: 'a rendering fractal can be cancelled',
    given: [requested(), started(1)],
    when: cancel,
    expected: [cancelled()],
  },
  { name: 'cancelling again changes nothing', given: [requested(), cancelled()], when: cancel, expected: [] },
  {
    name: 'a completed fractal cannot be cancelled',
    given: [requested(), completed(1)],
    when: cancel,
    expected: 'illegal-transition',
  },
  {
    name: 'a failed fractal cannot be cancelled',
    given: [requested(), failed],
    when: cancel,
    expected: 'illegal-transition',
  },
  { name: 'an unknown fractal cannot be cancelled', given: [], when: cancel, expected: 'not-found' },
  {
    name: 'a removed fractal cannot be cancelled',
    given: [requested(), failed, deleted],
    when: cancel,
    expected: 'removed',
  },
  { name: 'a failed fractal can be retried', given: [requested(), failed], when: retry, expected: [retried] },
  { name: 'a cancelled fractal can be retried', given: [requested(), cancelled()], when: retry, expected: [retried] },
  { name: 'a waiting fractal cannot be retried', given: [requested()], when: retry, expected: 'illegal-transition' },
  {
    name: 'a completed fractal with its image cannot be retried',
    given: [requested(), completed(1)],
    when: retry,
    expected: 'illegal-transition',
  },
  {
    name: 'a completed fractal without its image is rendered again, to the same pixels',
    given: [requested(), completed(1)],
    when: mend,
    expected: [requested({ generation: 2, cause: 'image-lost', expectedPixelChecksum: sha256 })],
  },
  {
    name: 'a fractal that once had an image and could not be mended is rendered again, to the same pixels still',
    given: [requested(), completed(1), requested({ generation: 2, cause: 'image-lost' }), failedIn(2)],
    when: { type: 'retry', fractal: uuid, imageLost: false, pixelChecksum: sha256 },
    expected: [requested({ generation: 3, cause: 'retry', expectedPixelChecksum: sha256 })],
  },
  { name: 'an unknown fractal cannot be retried', given: [], when: retry, expected: 'not-found' },
  {
    name: 'a removed fractal cannot be retried',
    given: [requested(), failed, deleted],
    when: retry,
    expected: 'removed',
  },
  {
    name: 'deleting a finished fractal removes it',
    given: [requested(), completed(1)],
    when: remove,
    expected: [deleted],
  },
  {
    name: 'deleting an unfinished fractal cancels and removes it',
    given: [requested(), started(1)],
    when: remove,
    expected: [cancelled('deleted'), deleted],
  },
  { name: 'deleting an unknown fractal changes nothing', given: [], when: remove, expected: [] },
  {
    name: 'deleting a removed fractal changes nothing',
    given: [requested(), failed, deleted],
    when: remove,
    expected: [],
  },
]

for (const { name, given, when, expected } of decisions) {
  test(name, () => {
    const task = fold(recordedAll(...given))
    if (typeof expected !== 'string') return assert.equal(decide(when, task), expected)
    assert.throws(
      () => decide(when, task),
      (thrown: unknown) =>
        thrown instanceof FaafoError && thrown.code === expected && /^cannot \w+ .+: /.test(thrown.message),
    )
  })
}

test.run()
