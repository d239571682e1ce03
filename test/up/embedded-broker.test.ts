import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { brokerConfig, brokerDurability, endStaleBroker } from '../../services/up/embedded-broker.ts'
import { isAlive } from '../../services/up/process-identity.ts'
import { withBroker } from '../support/broker.ts'
import { startChild } from '../support/child.ts'
import { withTempDir } from '../support/temp.ts'
import { until } from '../support/until.ts'

const configOf = (version: string, syncInterval?: string) =>
  brokerConfig({ version, port: 4333, storeDir: '/data/a "b"', pidFile: '/data/pid', syncInterval })

test('from 2.10 on every append is written to disk, and said to be', () => {
  for (const version of ['2.10.0', '2.14.5', '3.0.0']) {
    assert.match(configOf(version), /sync_interval: "always"/)
    assert.is(brokerDurability(version).ok, true)
  }
})

test('2.9 is not told of an option that it does not know, and its durability is said to be less', () => {
  assert.not.match(configOf('2.9.10'), 'sync_interval')
  const { ok, syncInterval, text } = brokerDurability('2.9.10')
  assert.equal([ok, syncInterval], [false, '60s'])
  assert.match(text, '2.10')
})

test('another interval is passed on and said', () => {
  assert.match(configOf('2.15.1', '2m'), /sync_interval: "2m"/)
  assert.equal([brokerDurability('2.15.1', '2m').ok, brokerDurability('2.15.1', '2m').syncInterval], [false, '2m'])
})

test('the server listens on loopback only and its paths are quoted', () => {
  assert.match(configOf('2.15.1'), 'listen: "127.0.0.1:4333"')
  assert.match(configOf('2.15.1'), 'store_dir: "/data/a \\"b\\""')
})

test('the server that is found takes the configuration, survives kill -9 and starts again', () =>
  withBroker(
    async (broker) => {
      await broker.kill()
      await broker.restart()
    },
    { syncInterval: 'always' },
  ))

test('a server left behind on the same configuration is ended', () =>
  withBroker(async ({ storeDir, pid }) => {
    const [left, config] = [pid(), join(storeDir, 'nats-server.conf')]
    assert.is(await endStaleBroker(join(storeDir, 'nats-server.pid'), join(storeDir, 'another.conf')), null)
    assert.ok(isAlive(left))
    assert.is(await endStaleBroker(join(storeDir, 'nats-server.pid'), config), left)
    await until(() => !isAlive(left), { what: 'its exit is known' }) // until then it is a zombie of ours
    assert.is(await endStaleBroker(join(storeDir, 'nats-server.pid'), config), null)
  }))

test('a server that does not end when asked is killed', () =>
  withTempDir(async (dir) => {
    const config = join(dir, 'stubborn.conf')
    const stubborn = await startChild(process.execPath, [
      '-e',
      'process.on("SIGTERM", () => {}); process.stdin.resume()',
      config,
    ])
    await writeFile(join(dir, 'pid'), String(stubborn.pid))
    assert.is(await endStaleBroker(join(dir, 'pid'), config, { graceMs: 300 }), stubborn.pid)
    await stubborn.end('SIGKILL')
  }))

test('a pid file that is missing, empty or of another program ends nothing', () =>
  withTempDir(async (dir) => {
    const file = join(dir, 'pid')
    assert.is(await endStaleBroker(file, '/data/nats-server.conf'), null)
    for (const text of ['', 'what', '0', '1', '-5', String(process.pid)]) {
      await writeFile(file, text)
      assert.is(await endStaleBroker(file, '/data/nats-server.conf'), null)
    }
  }))

test.run()
