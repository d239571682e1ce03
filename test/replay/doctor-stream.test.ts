import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openBroker } from '../../services/platform/broker.ts'
import { openDatabase } from '../../services/platform/database.ts'
import { createLog } from '../../services/platform/log.ts'
import { createLogger } from '../../services/platform/logger.ts'
import { type DoctorOptions, doctor } from '../../services/replay/doctor/doctor.ts'
import { fileStore } from '../../services/storage/file-store.ts'
import { withAdministration } from '../platform/with-log.ts'
import { withCluster } from '../support/cluster.ts'
import { brokerConfigOf } from '../support/read-model.ts'
import { until } from '../support/until.ts'
import { withClinic } from './clinic.ts'

test('a stream that lost its settings is given them back', () =>
  withClinic(async (p) => {
    p.start()
    p.startWorker()
    await p.completed(await p.request())
    await p.healthy()
    const names = p.parts.broker.names
    for (const [change, found] of [
      [
        { max_age: 3_600e9, max_msgs_per_subject: 1 },
        /^max_age is 3600000000000 instead of 0: .*; max_msgs_per_subject /,
      ],
      [{ max_bytes: 1e9 }, /^discard is "old" instead of "new": the oldest events are dropped once/],
      [
        { subjects: names.streamSubjects.slice(1), allow_direct: false },
        /^subjects is .*: events are refused.*allow_direct/,
      ],
    ] as const) {
      await withAdministration(p.server.url, async (jsm) => {
        await jsm.streams.update(names.stream, {
          ...change,
          subjects: [...('subjects' in change ? change.subjects : names.streamSubjects)],
        })
      })
      const finding = await p.finding('stream-config')
      assert.match(finding.found, found)
      assert.is((await p.carryOut(finding)).code, 0)
      await p.healthy()
    }
    await withAdministration(p.server.url, async (jsm) => {
      const { config } = await jsm.streams.info(names.stream)
      assert.is(config.max_bytes, 1e9, 'what the operator allows the log is kept')
    })
    await p.completed(await p.request())
  }))

test('a log that is nearly as large as it may be', () =>
  withClinic(async (p) => {
    p.start()
    p.startWorker()
    await p.completed(await p.request())
    await withAdministration(p.server.url, async (jsm) => {
      const { state } = await jsm.streams.info('FRACTAL')
      await jsm.streams.update('FRACTAL', { max_bytes: state.bytes + 10, discard: 'new' as never })
    })
    const finding = await p.finding('broker-storage')
    assert.equal([finding.severity, finding.found.slice(0, 16)], ['wrong', 'the log has used'])
  }))

test('a stream that is missing is made, and one that was there before is asked for first', () =>
  withClinic(async (p) => {
    const projector = p.start()
    await p.request()
    await p.caughtUp()
    await projector.stop()
    await withAdministration(p.server.url, async (jsm) => {
      await jsm.streams.delete('FRACTAL')
    })
    const [finding] = await p.ailing()
    assert.is(finding?.check, 'stream')
    assert.match(finding?.found ?? '', /no stream FRACTAL, of which 1 events were read before/)
    if (finding) await p.carryOut(finding)
    assert.is((await p.ailing())[0]?.check, 'log-identity')
  }))

test('the stream of what is not a fractal is made, and given back its settings, too', () =>
  withClinic(async (p) => {
    p.start()
    await p.healthy()
    await withAdministration(p.server.url, async (jsm) => {
      await jsm.streams.delete('FAAFO')
    })
    const missing = await p.finding('stream')
    assert.is(missing.found, 'the broker has no stream FAAFO, for what is not a fractal')
    assert.is((await p.carryOut(missing)).code, 0)
    await p.healthy()
    await withAdministration(p.server.url, async (jsm) => {
      const { config } = await jsm.streams.info('FAAFO')
      await jsm.streams.delete('FAAFO')
      await jsm.streams.add({ ...config, subjects: [...config.subjects, 'faafo.novel.*.*'], deny_delete: false })
      await jsm.streams.update('FAAFO', { max_age: 3_600e9 })
    })
    const finding = await p.finding('stream-config')
    assert.match(
      finding.found,
      /^FAAFO deny_delete is .* instead of true: .*; FAAFO max_age is 3600000000000 instead of 0/,
    )
    assert.is((await p.carryOut(finding)).code, 0)
    await p.healthy()
    await withAdministration(p.server.url, async (jsm) => {
      const { config } = await jsm.streams.info('FAAFO')
      assert.ok(config.subjects.includes('faafo.novel.*.*'), 'what a newer version added is kept')
    })
  }))

test('a replica that is away is told, and one number of them where another was asked for', () =>
  withCluster(async (servers) => {
    const urls = servers.map(({ url }) => url)
    const logger = createLogger('test', { logLevel: 'silent' })
    const broker = openBroker({ ...brokerConfigOf(urls.join(',')), replicas: 3 }, 'test', logger)
    const database = openDatabase('postgres://postgres@127.0.0.1:1/none', { max: 1, name: 'test' })
    const settings = { replicas: 3 as number | undefined, syncInterval: undefined }
    const look = async (options: Partial<DoctorOptions> = {}) => {
      const { findings } = await doctor(
        {
          ...{ broker, log: createLog(broker), db: database.db, logger, settings },
          ...{ images: fileStore('/nowhere'), folders: { data: null, images: null } },
        },
        { signal: new AbortController().signal, ...options },
      )
      return new Map(findings.map((finding) => [finding.check, finding]))
    }
    try {
      await broker.ready
      const well = await look()
      assert.is(well.get('stream-replicas')?.found, 'all 3 follow')
      assert.equal([well.get('durability')?.severity, well.get('stream-config')?.severity], ['ok', 'ok'])

      const jsm = await broker.nc().jetstreamManager()
      const { cluster } = await jsm.streams.info('FRACTAL')
      const follower = Number(cluster?.replicas?.[0]?.name.slice(1))
      await servers[follower]?.stop()
      await until(async () => (await look()).get('stream-replicas')?.severity === 'warning', {
        what: 'one is away',
        withinMs: 60_000,
      })
      await servers[follower]?.restart()
      await until(async () => (await look()).get('stream-replicas')?.severity === 'ok', {
        what: 'it follows again',
        withinMs: 60_000,
      })

      await jsm.streams.update('FAAFO', { num_replicas: 1 })
      const unlike = (await look()).get('stream-config')?.found
      assert.is(unlike, 'FAAFO num_replicas is 1 instead of 3: NATS_REPLICAS asks for another number')
      assert.is((await look({ mend: true })).get('stream-config')?.severity, 'ok')
      settings.replicas = 1
      assert.match((await look()).get('stream-config')?.found ?? '', /^num_replicas is 3 instead of 1/)
      assert.is((await look({ mend: true })).get('stream-config')?.severity, 'ok')
    } finally {
      await broker.close()
      await database.close()
    }
  }))

test.run()
