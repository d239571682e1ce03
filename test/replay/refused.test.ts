import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createReplay } from '../../services/replay/replay.ts'
import { withBroker } from '../support/broker.ts'
import { withTempDir } from '../support/temp.ts'

// Not on Deno: docs/decisions.md has why.
test('a broker that refuses is not one that is away', () =>
  withTempDir((dir) =>
    withBroker(
      async ({ url }) => {
        const places = { databaseUrl: 'postgres://127.0.0.1:1/x', storageUrl: `file:${dir}` }
        const { findings } = await createReplay({ natsUrl: url, ...places }).doctor()
        const [broker] = findings
        assert.equal([broker?.check, broker?.severity], ['broker', 'wrong'])
        assert.match(broker?.found ?? '', /Authorization Violation/i)
        assert.match(broker?.remedy ?? '', /^give it credentials that it knows/)
        assert.equal(
          findings.filter(({ severity }) => severity === 'wrong').map(({ check }) => check),
          ['broker', 'database'],
        )
      },
      { config: 'authorization { user: us, password: secret }' },
    ),
  ))

test.run()
