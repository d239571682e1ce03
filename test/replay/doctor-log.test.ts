import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkpoint } from '../../services/platform/schema.ts'
import type { Diagnosis } from '../../services/replay/doctor/diagnosis.ts'
import { putOlderLogBack } from '../projector/log-replaced.ts'
import { generateLog } from '../support/generated-log.ts'
import { until } from '../support/until.ts'
import { type Clinic, whileBuilt, withClinic } from './clinic.ts'

/** The generated log speaks of images that nobody made, and of requests that no worker has seen. */
const ailing = async (p: Clinic) =>
  (await p.ailing()).filter(
    ({ check, severity }) => check !== 'storage' && !(check === 'queue' && severity === 'warning'),
  )

test('a log that was restored from an older copy', () =>
  withClinic(async (p) => {
    const projector = p.start()
    await generateLog(p.server.url, 300)
    await p.caughtUp()
    await putOlderLogBack(p)
    await p.reconnected()
    await until(async () => (await p.checkpoint()).halted !== null, { what: 'the projector halts' })
    await projector.stop()
    const found = await ailing(p)
    assert.equal(
      found.map(({ check, severity }) => [check, severity]),
      [
        ['log-end', 'wrong'],
        ['projector', 'wrong'],
      ],
    )
    assert.match(found[0]?.found ?? '', /cannot go on from event 900: the log ends at event 300; its end was lost/)
    for (const finding of found)
      assert.match(finding.remedy ?? '', /^put the right store folder .* faafo replay rebuild$/)
    if (found[0]) assert.is((await p.carryOut(found[0])).code, 0)
    assert.equal(await ailing(p), [])
  }))

test('a log that was replaced by another one', () =>
  withClinic(async (p) => {
    const projector = p.start()
    await generateLog(p.server.url, 300)
    await p.caughtUp()
    await projector.stop()
    await p.server.stop()
    await rm(join(p.server.storeDir, 'jetstream'), { recursive: true })
    await p.server.restart()
    await p.reconnected()
    await generateLog(p.server.url, 600)
    const [finding, ...others] = await ailing(p)
    assert.equal([finding?.check, finding?.severity, others], ['log-identity', 'wrong', []])
    assert.match(finding?.found ?? '', /the log was made at .*, the one read before at /)
    if (finding) assert.is((await p.carryOut(finding)).code, 0)
    assert.equal(await ailing(p), [])
  }))

test('a checkpoint that was moved', () =>
  withClinic(async (p) => {
    p.startWorker()
    const projector = p.start()
    await p.completed(await p.request())
    await p.caughtUp()
    await p.healthy()
    await projector.stop()
    const { seq } = await p.checkpoint()
    const events = await Promise.all([1, 2].map((one) => p.parts.log.at(one)))
    for (const [to, problem] of [
      [{ seq: 1, eventId: events[0]?.id ?? '' }, /the table holds event 3, which is beyond it/],
      [{ seq: 1, eventId: events[1]?.id ?? '' }, /cannot go on from event 1: the event there is now .*was moved/],
      [{ seq: seq + 7, eventId: events[1]?.id ?? '' }, /its end was lost/],
    ] as const) {
      await p.parts.db.update(checkpoint).set(to)
      const found = (await p.ailing()).filter(({ check }) => check !== 'projector')
      assert.is(found.length, 1, JSON.stringify(found))
      assert.is(found[0]?.check, to.seq > seq ? 'log-end' : 'checkpoint')
      assert.match(found[0]?.found ?? '', problem)
      if (found[0]) assert.is((await p.carryOut(found[0])).code, 0)
      await p.healthy()
    }
  }))

test('a projector that stands, none, and one that builds a new table', () =>
  withClinic(async (p) => {
    const projector = p.start()
    p.startWorker()
    await p.completed(await p.request())
    await p.caughtUp()
    await projector.stop()
    await p.completed(await p.request())
    const stands = await p.finding('projector')
    assert.match(stands.found, /^the table is 3 events and \d+ s behind the log, and no projector answers$/)
    assert.equal([stands.severity, stands.remedy], ['wrong', 'faafo projector'])
    await whileBuilt(p.parts.db, async () => {
      const builds = await p.finding('projector')
      assert.match(builds.found, /^the table is 3 events and \d+ s behind the log; a new one is being built$/)
      assert.equal([builds.severity, builds.remedy], ['warning', 'wait for it; nothing is lost'])
    })
    await p.doctor({ mend: true })
    p.start()
    await p.healthy()
  }))

test('an event that cannot be read halts the projector, which is told, as is that it is parked', () =>
  withClinic(async (p) => {
    p.start()
    p.startWorker()
    await p.completed(await p.request())
    await p.caughtUp()
    await p.parts.broker.nc().jetstream().publish(p.parts.broker.names.removed('x'), 'not an event')
    await until(async () => (await p.checkpoint()).halted !== null, { what: 'it halts' })
    const halted = (await p.ailing()).find(({ check }) => check === 'projector') as Diagnosis
    assert.match(halted.found, /^it halted: cannot read event 4/)
    assert.is(halted.remedy, 'faafo replay park event 4')
    await p.carryOut(halted)
    const parked = await p.finding('parked')
    assert.is(parked.found, 'event 4 is parked, and its fractal is held back as it was')
    await p.carryOut({ ...parked, remedy: 'faafo replay park drop 4' })
    await p.healthy()
  }))

test.run()
