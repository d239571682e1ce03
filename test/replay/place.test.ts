import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freePort } from '../../services/platform/ports.ts'
import { createReplay } from '../../services/replay/replay.ts'
import { withPostgres } from '../support/database.ts'
import { withTempDir } from '../support/temp.ts'
import { all, failsWith } from './with-replay.ts'

test('what was not given, or cannot be read, is said before anything is connected to', async () => {
  const replay = createReplay({ natsUrl: 'nats://127.0.0.1:1' })
  const { park } = replay
  const needing = (name: string) => new RegExp(`: ${name} was not given$`)
  for (const work of [
    ...[() => replay.rebuild(), () => replay.rollback(), () => replay.doctor(), () => park.list()],
    ...[
      () => park.show('1'),
      () => park.event('1'),
      () => park.retry('1'),
      () => park.retryAll(),
      () => park.drop('1'),
    ],
  ]) {
    await failsWith('invalid-config', needing('databaseUrl'), work())
  }
  await failsWith('invalid-config', needing('storageUrl'), replay.verify())
  await failsWith('invalid-config', needing('storageUrl'), replay.importFrom('none'))
  await failsWith('invalid-config', needing('storageUrl'), replay.exportTo('none', { images: true }))
  const withStorage = createReplay({ natsUrl: 'nats://127.0.0.1:1', storageUrl: 'file:none' })
  await failsWith('invalid-config', needing('databaseUrl'), withStorage.verify())

  await failsWith('invalid-request', /cannot read 'x' as a uuid/, replay.show('x'))
  await failsWith('invalid-request', /cannot read the moment 'yesterday'/, replay.asOf(v4(), 'yesterday'))
  await failsWith('invalid-request', /cannot read the moment 'yesterday'/, all(replay.tail({ since: 'yesterday' })))
  await failsWith('invalid-request', /cannot read the cursor 'x'/, replay.exportTo('none', { since: 'x' }))
  for (const [options, said] of [
    [{ natsUrl: '' }, /NATS_URL is not set/],
    [{ natsUrl: 'localhost' }, /NATS_URL=localhost: expected nats:/],
    [{ natsUrl: 'nats://broker', namespace: 'a.b' }, /NATS_NAMESPACE=a\.b: expected one word/],
    [{ natsUrl: 'nats://broker', databaseUrl: 'me:secret@db' }, /expected a URL such as postgres:/],
    [{ natsUrl: 'nats://broker', replicas: 9 }, /expected a whole number from 1 to 5/],
  ] as const) {
    await failsWith(
      'invalid-config',
      said,
      Promise.resolve().then(() => createReplay(options)),
    )
  }
})

test('where nothing answers a program is told, and no password', () =>
  withTempDir(async (dir) => {
    const port = await freePort()
    const natsUrl = `nats://me:secret@127.0.0.1:${port}`
    const databaseUrl = `postgres://me:secret@127.0.0.1:${port}/x`
    const replay = createReplay({ natsUrl, databaseUrl, storageUrl: `file:${dir}` })
    const noBroker = /no broker answers at nats:\/\/me:…@/
    const noDatabase = /no database answers at postgres:\/\/me:…@/
    const [{ findings }] = await Promise.all([
      replay.doctor(),
      failsWith('unreachable', noBroker, replay.show(v4())),
      failsWith('unreachable', noBroker, all(replay.tail())),
      failsWith('unreachable', noDatabase, replay.park.list()),
    ])
    assert.equal(
      findings.filter(({ severity }) => severity === 'wrong').map(({ check }) => check),
      ['broker', 'database'],
    )
    const signal = AbortSignal.timeout(100)
    await failsWith('aborted', /it was interrupted/, replay.rebuild({ signal }))
  }))

test('what nobody expected is told in a sentence, without the statement that met it', () =>
  withPostgres(async ({ url }) => {
    const databaseUrl = url.replace(/[^/]+$/, 'nowhere')
    const { park } = createReplay({ natsUrl: 'nats://127.0.0.1:1', databaseUrl })
    await failsWith('internal', /^cannot go on: database "nowhere" does not exist$/, park.list())
  }))

test.run()
