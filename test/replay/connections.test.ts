import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { withLogAt } from '../../services/replay/connections.ts'
import { withLog } from '../platform/with-log.ts'
import { brokerConfigOf } from '../support/read-model.ts'
import { until } from '../support/until.ts'

test('where the broker ends the connection for good, what goes on ends, and says so', () =>
  withLog(async ({ server, logger }) => {
    const { signal } = new AbortController()
    let ended = false
    const going = withLogAt(brokerConfigOf(server.url), { logger, signal }, async (log) => {
      assert.not(log.signal.aborted)
      await log.broker.nc().close()
      await until(() => log.signal.aborted, { what: 'it is noticed' })
      ended = true
    })
    const error = await going.catch((error) => error)
    assert.ok(isFaafoError(error, 'log-unavailable'), String(error))
    assert.match(error.message, /has ended the connection for good/)
    assert.ok(ended)
  }))

test.run()
