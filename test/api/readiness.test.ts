import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readySchema } from '../../services/api/schemas.ts'
import { json, withApi } from './with-api.ts'

test('readiness tells how many replicas the stream has, and what they are worth', () =>
  withApi(
    async ({ another, log }) => {
      const ready = async (head: typeof log.head) => {
        const api = another({ log: { ...log, head }, syncInterval: '2m' })
        return readySchema.parse(await json(api.request('/readyz')))
      }
      const one = await ready(log.head)
      assert.equal([one.broker.replicas, one.durability.status], [1, 'degraded'])
      const three = await ready(async () => ({ ...(await log.head()), replicas: 3 }))
      assert.equal([three.broker.replicas, three.durability.status], [3, 'ok'])
      assert.match(three.durability.reason ?? '', /3 replicas/)
      const unknown = await ready(() => Promise.reject(new Error('away')))
      assert.equal([unknown.status, unknown.broker.replicas], ['unavailable', null])
      assert.match(unknown.durability.reason ?? '', /not known how many replicas/)
    },
    { database: 'away' },
  ))

test.run()
