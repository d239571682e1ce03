import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import type { NewEvent } from '../../events/events.ts'
import { importIdOf, importKind } from '../../events/import.ts'
import { aggregatesOf } from '../../services/platform/aggregates.ts'
import { identified, requested } from '../platform/with-log.ts'
import { completed, params, sha256 } from '../support/legal-history.ts'
import { appendLegalHistories } from '../support/legal-log.ts'
import { until } from '../support/until.ts'
import { folds, kept, type Place, withTwoPlaces } from './with-export.ts'

const seed = Math.floor(Math.random() * 2 ** 31)
console.log(`seed ${seed}`)

const append = async ({ log }: Place, ...events: NewEvent[]) => {
  for (const event of events) await log.append(identified(event))
}
const started = (fractal: string, generation = 1, entry = 1): NewEvent => ({
  ...{ type: 'TaskStarted', fractal },
  data: { generation, entry, worker: 'w', isolated: false },
})
const cancelled = (fractal: string): NewEvent => ({
  ...{ type: 'TaskCancelled', fractal },
  data: { generation: 1, reason: 'x' },
})
const retried = (fractal: string): NewEvent => ({
  ...{ type: 'TaskRequested', fractal },
  data: { generation: 2, cause: 'retry', params, chosen: [], requestHash: sha256 },
})
const end = async ({ log }: Place) => ({ seq: (await log.head()).lastSeq, idPrefix: null })

test('an export that goes on with fractals of which a log has nothing is refused until what is before it is there', () =>
  withTwoPlaces(async (source, target, dir) => {
    const [early, late] = [v4(), v4()]
    await append(source, requested(early))
    await source.exportTo(dir)
    const since = await end(source)
    await append(source, requested(late), cancelled(late), retried(late), {
      type: 'TaskDeleted',
      fractal: late,
      data: {},
    })
    await append(source, started(early), { ...completed(1), fractal: early })
    await source.exportTo(`${dir}-since`, { since })
    const imports = aggregatesOf(target.broker, importKind)
    const importId = importIdOf((await source.log.head()).created)
    for (const others of [0, 1]) {
      for (const dryRun of [true, false]) {
        const error = await target.importFrom(`${dir}-since`, { dryRun }).catch((error) => error)
        assert.ok(isFaafoError(error, 'export-unusable'), String(error))
        assert.match(error.message, `line 5 goes on with fractal '${early}', of which this log has nothing; `)
        assert.match(error.message, /; import what is before 1 first$/)
      }
      assert.equal([(await target.log.head()).lastSeq, await imports.newest(importId)], [others, null])
      if (others === 0) await append(target, requested())
    }
    await target.importFrom(dir)
    const { appended, conflicts } = await target.importFrom(`${dir}-since`)
    assert.equal([appended, conflicts], [6, []])
    assert.is((await target.log.load(early)).status, 'completed')
    assert.equal((await kept(target)).slice(1), await kept(source))
  }))

test('exports that follow one another, or overlap, come in one after the other, wherever a fractal was by then', () =>
  withTwoPlaces(async (source, target, dir) => {
    const appending = appendLegalHistories(source.log, { seed, count: 60 })
    await until(async () => (await source.log.head()).lastSeq > 60, { what: 'some are there', everyMs: 0 })
    const { events } = await source.exportTo(dir)
    await appending
    await source.exportTo(`${dir}-next`, { since: { seq: events, idPrefix: null } })
    await source.exportTo(`${dir}-overlapping`, { since: { seq: events - 10, idPrefix: null } })
    for (const part of [dir, `${dir}-next`, `${dir}-overlapping`]) {
      assert.equal((await target.importFrom(part)).conflicts, [])
    }
    assert.equal(await kept(target), await kept(source))
    assert.equal(await folds(target), await folds(source))
  }))

test('a fractal that went another way here stays as it is also where a later export goes on with it', () =>
  withTwoPlaces(async (source, target, dir) => {
    const [both, other] = [v4(), v4()]
    await append(source, requested(both))
    await source.exportTo(dir)
    await target.importFrom(dir)
    await append(target, cancelled(both))
    await append(source, cancelled(both), retried(both))
    await source.exportTo(dir)
    assert.is((await target.importFrom(dir)).conflicts.length, 1)
    const since = await end(source)
    const goesOn = identified(started(both, 2))
    await source.log.append(goesOn)
    await append(source, requested(other))
    await source.exportTo(`${dir}-since`, { since })
    const { appended, skipped, conflicts } = await target.importFrom(`${dir}-since`)
    const slot = `fractal.attempt.${both}.2.1`
    assert.equal([appended, skipped], [1, 1])
    assert.equal(conflicts, [{ fractal: both, line: 1, slot, inExport: goesOn.id, inLog: null }])
    assert.is((await target.log.load(both)).status, 'cancelled')
  }))

test('an export that goes on after attempts of which a log has nothing leaves their fractal as it is', () =>
  withTwoPlaces(async (source, target, dir) => {
    const [again, once] = [v4(), v4()]
    await append(source, requested(again), requested(once))
    await source.exportTo(dir)
    await append(source, started(again), started(again, 1, 2), started(once))
    const since = await end(source)
    await append(
      source,
      started(again, 1, 3),
      { ...completed(1, 3), fractal: again },
      { ...completed(1), fractal: once },
    )
    await source.exportTo(`${dir}-since`, { since })
    await target.importFrom(dir)
    const { appended, conflicts } = await target.importFrom(`${dir}-since`)
    assert.equal(
      [appended, ...conflicts.map(({ fractal, line, inLog }) => [fractal, line, inLog])],
      [0, [again, 1, null], [once, 3, null]],
    )
    await source.exportTo(`${dir}-all`)
    assert.equal((await target.importFrom(`${dir}-all`)).conflicts, [])
    assert.equal(await kept(target), await kept(source))
  }))

test('what is deleted in a later export was retried in an earlier one, or else here, and then stays', () =>
  withTwoPlaces(async (source, target, dir) => {
    const [there, here] = [v4(), v4()]
    await append(source, requested(there), cancelled(there), retried(there), requested(here), cancelled(here))
    await source.exportTo(dir)
    await target.importFrom(dir)
    const since = await end(source)
    for (const fractal of [there, here]) await append(source, { type: 'TaskDeleted', fractal, data: {} })
    await source.exportTo(`${dir}-since`, { since })
    await append(target, retried(here))
    const { appended, conflicts } = await target.importFrom(`${dir}-since`)
    assert.equal([appended, conflicts.map(({ fractal }) => fractal)], [1, [here]])
    assert.is((await target.log.load(there)).status, 'deleted')
    assert.is((await target.log.load(here)).status, 'requested')
  }))

test.run()
