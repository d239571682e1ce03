import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { type JetStreamManager, nkeys } from 'nats'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { openBroker } from '../../services/platform/broker.ts'
import { withoutPassword } from '../../services/platform/config.ts'
import { createLog, type Log } from '../../services/platform/log.ts'
import { createLogger } from '../../services/platform/logger.ts'
import { keptLog } from '../api/with-api.ts'
import { reconfigure, withBroker } from '../support/broker.ts'
import { startChild } from '../support/child.ts'
import { withCluster } from '../support/cluster.ts'
import { createOperator } from '../support/credentials.ts'
import { ourFlags, ourUrl } from '../support/project.ts'
import { brokerConfigOf } from '../support/read-model.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'
import { requested, withAdministration } from './with-log.ts'

type Config = Parameters<typeof openBroker>[0]

const silent = createLogger('test', { logLevel: 'silent' })

/** A key that the broker lets in, and the lines of its configuration that say so. */
function userKey() {
  const key = nkeys.createUser()
  const users = (publicKey: string) => `authorization { users: [{ nkey: ${publicKey} }] }`
  return { nkeySeed: new TextDecoder().decode(key.getSeed()), publicKey: key.getPublicKey(), users }
}

const appends = (log: Log) =>
  log.append(requested()).then(
    ({ won }) => won,
    () => false,
  )

const refusalOf = async (config: Config): Promise<unknown> => {
  const broker = openBroker(config, 'test', silent)
  try {
    return await broker.ready.then(
      () => null,
      (error) => error,
    )
  } finally {
    await broker.close()
  }
}

test('only who asks for a number of replicas changes those of the log, and who only looks changes nothing', () =>
  withCluster(async ([first]) => {
    const url = first?.url ?? ''
    const open = async (replicas: number | undefined, use = {}) => {
      const broker = openBroker({ ...brokerConfigOf(url), replicas }, 'test', silent, use)
      const nc = await broker.ready
      const jsm = await nc.jetstreamManager()
      const { config } = await jsm.streams.info(broker.names.aggregateStream)
      const { replicas: copies } = await createLog(broker).head()
      await broker.close()
      assert.is(config.num_replicas, copies)
      return copies
    }
    assert.is(await open(3), 3)
    assert.is(await open(undefined), 3)
    assert.is(await open(1, { readOnly: true }), 3)
    assert.is(await open(1), 1)
    assert.is(await open(undefined), 1)
  }))

test('a log that is there keeps what its operator has set', () =>
  withBroker(async ({ url }) => {
    const open = async () => {
      const broker = openBroker(brokerConfigOf(url), 'test', silent)
      await broker.ready
      await broker.close()
    }
    const change = (by: (jsm: JetStreamManager) => Promise<void>) => withAdministration(url, by)
    await open()
    await change(async (jsm) => {
      await jsm.streams.update('FRACTAL', { max_bytes: 1e9, description: 'ours' })
    })
    await open()
    await change(async (jsm) => {
      const { config } = await jsm.streams.info('FRACTAL')
      assert.equal([config.max_bytes, config.description, config.num_replicas], [1e9, 'ours', 1])
    })
  }))

test('who only looks makes no log, and is told that there is none', () =>
  withBroker(async ({ url }) => {
    const broker = openBroker(brokerConfigOf(url), 'test', silent, { readOnly: true })
    await broker.ready
    await createLog(broker)
      .head()
      .then(
        () => assert.unreachable(),
        (error) => assert.match(error.message, /^cannot read the log: the broker has no stream FRACTAL$/),
      )
    await broker.close()
    await withAdministration(url, async (jsm) => {
      assert.equal(await jsm.streams.names().next(), [])
    })
  }))

test('a broker that refuses our key for a while is gone on with once it takes it again', () => {
  const [ours, other] = [userKey(), userKey()]
  const { logger, lines } = keptLog()
  return withBroker(
    async (server) => {
      let lost = false
      const onLost = () => {
        lost = true
      }
      const config = { ...brokerConfigOf(server.url), nkeySeed: ours.nkeySeed }
      const broker = openBroker(config, 'test', logger, { onLost })
      const nc = await broker.ready
      const log = createLog(broker)
      assert.ok(await appends(log))

      const refusals = () => server.output().split('authentication error').length - 1
      const before = refusals()
      await reconfigure(server, ours.publicKey, other.publicKey)
      await until(() => refusals() >= before + 3, { what: 'we were refused three times' })
      assert.not.ok(await appends(log))
      assert.not.ok(nc.isClosed())
      assert.ok(lines().some(({ msg, reason }) => msg === 'broker refuses' && reason === 'AUTHORIZATION_VIOLATION'))
      assert.is(lines().filter(({ msg }) => msg === 'broker lost').length, 1)

      await reconfigure(server, other.publicKey, ours.publicKey)
      await until(() => appends(log), { what: 'events are appended again' })
      assert.not.ok(lost)
      await broker.close()
    },
    { config: ours.users(ours.publicKey) },
  )
})

test('a credentials file that is replaced is read again, also when a broken one stood there in between', () => {
  const operator = createOperator()
  const { logger, lines } = keptLog()
  return withTempDir((dir) =>
    withBroker(
      async (server) => {
        const creds = join(dir, 'user.creds')
        await writeFile(creds, operator.credentials({ expiresAt: Math.floor(Date.now() / 1000) + 7 }))
        const broker = openBroker({ ...brokerConfigOf(server.url), creds }, 'test', logger)
        await broker.ready
        const log = createLog(broker)
        assert.ok(await appends(log))
        await writeFile(creds, 'half of it')
        const said = (text: string) => lines().some(({ msg }) => msg === text)
        await until(() => said('broker refuses') && said('credentials unreadable, taking those of before'), {
          what: 'the credentials expired',
        })
        await writeFile(creds, operator.credentials())
        await until(() => appends(log), { what: 'events are appended again' })
        await broker.close()
      },
      { config: operator.config },
    ),
  )
})

test('a name and password, or a token, may stand in the URL, and is told to nobody', async () => {
  for (const [config, userInfo] of [
    ['authorization { user: "a user", password: "p@ss" }', 'a%20user:p%40ss'],
    ['authorization { token: "t0ken" }', 't0ken'],
  ]) {
    const { logger, lines } = keptLog()
    await withBroker(
      async ({ url }) => {
        const open = (address: string) => openBroker({ ...brokerConfigOf(url), url: address }, 'test', logger)
        const broker = open(`nats://127.0.0.1:1, ${url.replace('//', `//${userInfo}@`)}`)
        await broker.ready
        assert.ok(await appends(createLog(broker)))
        await broker.close()
        const refused = await refusalOf({ ...brokerConfigOf(url), url: url.replace('//', '//other:wr0ng@') })
        assert.ok(isFaafoError(refused, 'log-unavailable'))
        assert.match(refused.message, /Authorization Violation/i)
        assert.not.match(refused.message, 'wr0ng')
        for (const secret of ['p%40ss', 'p@ss', 't0ken']) assert.not.match(JSON.stringify(lines()), secret)
      },
      { config: `${config}` },
    )
  }
  assert.is(withoutPassword('nats://t0ken@one:4222,nats://u:p@two'), 'nats://…@one:4222,nats://u:…@two')
  assert.is(withoutPassword('postgres://user@db/x'), 'postgres://user@db/x')
})

test('credentials that are no good are told at the start', () => {
  const [ours, other] = [userKey(), userKey()]
  return withBroker(
    async ({ url }) => {
      const refused = await refusalOf({ ...brokerConfigOf(url), nkeySeed: other.nkeySeed })
      assert.ok(isFaafoError(refused, 'log-unavailable'))
      assert.match(refused.message, /Authorization Violation.*NATS_CREDS or NATS_NKEY_SEED/i)
      for (const [bad, name] of [
        [{ creds: '/nowhere/user.creds' }, 'NATS_CREDS'],
        [{ nkeySeed: 'SUNOSEED' }, 'NATS_NKEY_SEED'],
      ] as const) {
        const invalid = await refusalOf({ ...brokerConfigOf(url), ...bad })
        assert.ok(isFaafoError(invalid, 'invalid-config'))
        assert.match(invalid.message, `cannot sign in at the broker: ${name} is no good`)
        assert.not.match(invalid.message, 'SUNOSEED')
      }
    },
    { config: ours.users(ours.publicKey) },
  )
})

test('a broker that is not there yet is waited for, until nobody waits any more', () =>
  withBroker(async (server) => {
    await server.stop()
    const [early, gone] = ['early', 'gone'].map((name) => openBroker(brokerConfigOf(server.url), name, silent))
    await gone?.close()
    await gone?.ready.then(
      () => assert.unreachable(),
      (error) => assert.ok(isFaafoError(error, 'aborted')),
    )
    await server.restart()
    await early?.ready
    await early?.close()
  }))

test('a connection that closed for good ends the process, with a line that says so', () =>
  withBroker(async ({ url }) => {
    const module = (path: string) => JSON.stringify(ourUrl(path))
    const child = await startChild(process.execPath, [
      ...[...ourFlags, '--input-type=module', '--eval'],
      `import { openBroker } from ${module('services/platform/broker')}
       import { createLogger } from ${module('services/platform/logger')}
       import { brokerConfigOf } from ${module('test/support/read-model')}
       setInterval(() => {}, 1000)
       const broker = openBroker(brokerConfigOf('${url}'), 'test', createLogger('test', { logFormat: 'json' }))
       await (await broker.ready).close()`,
    ])
    await until(() => child.ended(), { what: 'the process ended' })
    assert.is(child.exitCode(), 1)
    assert.match(child.output(), /"level":60.*broker connection closed for good, ending/)
  }))

test('a connection that is closed as asked ends nothing', () =>
  withBroker(async ({ url }) => {
    let lost = false
    const onLost = () => {
      lost = true
    }
    const broker = openBroker(brokerConfigOf(url), 'test', silent, { onLost })
    const nc = await broker.ready
    await broker.close()
    await nc.closed()
    assert.not.ok(lost)
    assert.not.ok(broker.isConnected())
  }))

test.run()
