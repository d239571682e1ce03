import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import type { NewEvent, RecordedEvent } from '../../events/events.ts'
import type { Log } from '../../services/platform/log.ts'
import { decideOn, parkedEvents } from '../../services/platform/parked-events.ts'
import { liveModel } from '../../services/platform/read-model.ts'
import { fractal } from '../../services/platform/schema.ts'
import { applyBatch, prepareBatch } from '../../services/projector/apply-batch.ts'
import { positionOf } from '../../services/projector/checkpoint.ts'
import { compareTable } from '../../services/projector/rebuild.ts'
import { retryHeld, retryUntried } from '../../services/projector/retry-held.ts'
import { compareWithLog } from '../support/compare-with-log.ts'
import { until } from '../support/until.ts'
import { cancelled, heldOf, newer, park, writeNewer } from './held-events.ts'
import { requested } from './with-projection.ts'
import { signal, withTable } from './with-table.ts'

test('what waited and cannot be stored once its turn comes is parked in turn, and what is before it is applied', () =>
  withTable(async (p) => {
    const uuid = v4()
    await p.append(requested(uuid))
    const id = await writeNewer(p, cancelled(uuid))
    const { data } = requested()
    const again: NewEvent = {
      ...requested(uuid),
      data: { ...data, generation: 2, cause: 'retry', params: { ...data.params, width: 2 ** 40 } },
    }
    await p.append(again)
    await park(p, id)
    const older = p.start()
    await p.caughtUp()
    await older.stop()
    const [retried] = await retryHeld(newer(p), [uuid], { asked: true })
    assert.is(retried?.applied, 1)
    assert.match(retried?.stuck?.error ?? '', /^cannot store event 3/)
    assert.equal(await heldOf(p), [[3, true]])
    const [row] = await p.parts.db.select().from(fractal)
    assert.equal([row?.status, row?.lastSeq], ['cancelled', 2])
    assert.is((await compareTable(newer(p), { signal })).differing, 0)
  }))

test('a drop whose command died before the tables were brought on is finished by the next projector', () =>
  withTable(async (p) => {
    const uuid = v4()
    await p.append(requested(uuid))
    const id = await writeNewer(p, cancelled(uuid))
    await p.append({ type: 'TaskDeleted', fractal: uuid, data: {} })
    await park(p, id)
    const before = p.start()
    await p.caughtUp()
    await before.stop()
    await decideOn(parkedEvents(p.parts.broker), { type: 'drop', id }, '/test')
    assert.equal(await heldOf(p), [
      [2, true],
      [3, false],
    ])
    p.start()
    await until(async () => (await heldOf(p)).length === 0, { what: 'it is finished' })
    assert.equal(await p.parts.db.select().from(fractal), [])
  }))

test('an outage while what is held back is tried again is waited out', () =>
  withTable(async (p) => {
    const uuid = v4()
    await p.append(requested(uuid))
    await park(p, await writeNewer(p, cancelled(uuid)))
    const older = p.start()
    await p.caughtUp()
    await older.stop()
    const { log, ...parts } = newer(p)
    let asked = 0
    const away: Log['at'] = async (seq) => {
      if (asked++ < 2) throw new FaafoError('log-unavailable', 'cannot read the log')
      return log.at(seq)
    }
    await retryUntried({ ...parts, log: { ...log, at: away } }, new Set(), signal)
    assert.equal(await heldOf(p), [])
    assert.is((await p.parts.db.select().from(fractal))[0]?.status, 'cancelled')
  }))

test('a batch that was begun before a fractal was let go is not written after it', () =>
  withTable(async (p) => {
    const uuid = v4()
    await p.append(requested(uuid))
    const id = await writeNewer(p, cancelled(uuid))
    await park(p, id)
    const projector = p.start()
    await p.caughtUp()
    await projector.stop()
    const row = await p.checkpoint()
    await p.append(requested())
    const next = (await p.parts.log.at(3)) as RecordedEvent
    await retryHeld(newer(p), [uuid], { asked: true })
    const [{ db }, copy] = [p.parts, { model: liveModel, epoch: row.epoch }]
    const prepared = await prepareBatch(db, copy, [next])
    const late = await applyBatch(db, copy, positionOf(row), [next], prepared).catch((error) => error)
    assert.ok(isFaafoError(late, 'fence-lost'), String(late))
    assert.is((await p.checkpoint()).seq, 2)
  }))

test('several retry at the same time while events keep coming: each event is applied once', () =>
  withTable(async (p) => {
    const uuids = Array.from({ length: 12 }, () => v4())
    await p.append(...uuids.map((uuid) => requested(uuid)))
    for (const uuid of uuids) await park(p, await writeNewer(p, cancelled(uuid)))
    const older = p.start()
    await p.caughtUp()
    let done = false
    const busy = (async () => {
      for (let i = 0; !done; i++) {
        const fractal = uuids[i % uuids.length] ?? ''
        const generation = 2 + Math.floor(i / uuids.length)
        const data = { ...requested().data, generation, cause: 'retry' as const }
        await p.append({ type: 'TaskRequested', fractal, data }, {
          ...cancelled(fractal),
          data: { generation, reason: '' },
        } as NewEvent)
      }
    })()
    const retrying = Array.from({ length: 3 }, async () => {
      while ((await heldOf(p)).length > 0) {
        await retryHeld(newer(p), uuids, { asked: false }).catch((error) => {
          if (!isFaafoError(error, 'fence-lost')) throw error
        })
      }
    })
    await Promise.all(retrying)
    done = true
    await busy
    await p.caughtUp()
    await older.stop()
    assert.equal((await compareWithLog(newer(p))).differences, [])
  }))

test.run()
