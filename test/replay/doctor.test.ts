import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError } from '../../events/errors.ts'
import { openDatabase } from '../../services/platform/database.ts'
import { imagesAt } from '../../services/replay/connections.ts'
import { withAdministration } from '../platform/with-log.ts'
import { withClinic } from './clinic.ts'

test('a system at work is well, check by check', () =>
  withClinic(async (p) => {
    p.start()
    p.startWorker()
    let done = false
    const busy = (async () => {
      while (!done) await p.completed(await p.request())
    })()
    await p.caughtUp()
    for (let n = 0; n < 3; n++) assert.equal(await p.ailing(), [])
    const { findings } = await p.doctor({ images: true })
    done = true
    await busy
    const states = new Map(findings.map(({ check, severity }) => [check, severity]))
    assert.is(states.size, 29)
    states.delete('durability')
    assert.equal(new Set(states.values()), new Set(['ok']))
    const found = (check: string) => findings.find((one) => one.check === check)?.found ?? ''
    assert.match(found('broker'), `nats-server ${p.server.version} at `)
    assert.match(found('workers'), /^1 worker with 1 threads/)
    assert.match(found('clocks'), /^2 that were asked/)
  }))

test('a system without any worker is well as long as nothing is requested', () =>
  withClinic(async (p) => {
    const [schema, ...others] = await p.ailing()
    assert.equal(
      [schema?.check, schema?.severity, schema?.remedy, others],
      ['database', 'warning', 'faafo migrate', []],
    )
    if (schema) assert.is((await p.carryOut(schema)).code, 0)
    await p.healthy()
    p.start()
    await p.request()
    await p.caughtUp()
    const found = await p.ailing()
    assert.equal(
      found.map(({ check, severity, remedy }) => [check, severity, remedy]),
      [
        ['queue', 'warning', 'faafo replay doctor --mend'],
        ['workers', 'wrong', 'faafo worker'],
      ],
    )
    p.startWorker()
    await p.healthy()
  }))

test('what is away is the finding, and keeps nobody from looking at the rest', () =>
  withClinic(async (p) => {
    p.start()
    p.startWorker()
    await p.completed(await p.request())
    await p.healthy()
    const gone = openDatabase('postgres://postgres@127.0.0.1:1/none', { max: 2, name: 'test' })
    const withoutDatabase = (await p.doctor({}, { db: gone.db })).findings
    await gone.close()
    const wrong = (findings: typeof withoutDatabase) =>
      findings.filter(({ severity }) => severity === 'wrong').map(({ check }) => check)
    const ok = (findings: typeof withoutDatabase) =>
      findings.filter(({ severity }) => severity === 'ok').map(({ check }) => check)
    assert.equal(wrong(withoutDatabase), ['database'])
    for (const check of ['broker', 'stream-config', 'queue-config', 'queue-flow', 'workers', 'clocks'] as const) {
      assert.ok(ok(withoutDatabase).includes(check), check)
    }
    const off = () => Promise.reject(new FaafoError('storage-unavailable', 'cannot look: switched off'))
    const withoutStorage = (await p.doctor({}, { images: { ...p.images, has: off } })).findings
    assert.equal(wrong(withoutStorage), ['storage'])

    await p.server.stop()
    const withoutBroker = (await p.doctor()).findings
    assert.equal(wrong(withoutBroker), ['broker'])
    const atBroker = imagesAt('nats-object:images', p.parts.broker, null)
    assert.equal(wrong((await p.doctor({}, { images: atBroker })).findings), ['broker'])
    assert.ok(ok(withoutBroker).includes('database'))
    await p.server.restart()
    await p.reconnected()
    await p.healthy()
  }))

test('nothing is changed without being told to, and a dry run only says what would be', () =>
  withClinic(async (p) => {
    p.start()
    await p.request()
    await p.caughtUp()
    await withAdministration(p.server.url, async (jsm) => {
      await jsm.streams.update('FRACTAL', { max_age: 3_600e9 })
    })
    assert.equal((await p.doctor()).mended, [])
    const { mended } = await p.doctor({ mend: 'dry-run' })
    assert.equal(mended, [
      { check: 'stream-config', what: 'sets max_age to 0', error: null },
      { check: 'queue', what: 'makes the consumer render', error: null },
    ])
    assert.equal(
      (await p.ailing()).map(({ check }) => check),
      ['stream-config', 'queue', 'workers'],
    )
  }))

test.run()
