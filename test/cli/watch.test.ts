import { setTimeout as sleep } from 'node:timers/promises'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FollowedEvent } from '../../services/cli/client-follow.ts'
import { watchFractals } from '../../services/cli/watch.ts'
import { fractal } from './scripted-api.ts'

test('who waits for a fractal does not look whenever somebody else has one finished', async () => {
  const { uuid } = fractal()
  let [looks, others] = [0, 0]
  const client: Parameters<typeof watchFractals>[0] = {
    async get() {
      looks++
      return fractal({ status: others < 300 ? 'rendering' : 'completed' })
    },
    list: () => Promise.reject(new Error('one is not listed')),
    async *follow() {
      for (; others < 300; others++) {
        await sleep(1)
        yield { subject: v4(), type: 'TaskCompleted' } as FollowedEvent
      }
      yield { subject: uuid, type: 'TaskCompleted' } as FollowedEvent
    },
  }
  for await (const _ of watchFractals(client, [uuid]));
  assert.is(others, 300)
  assert.ok(looks < 100, `${looks} looks`)
})

test.run()
