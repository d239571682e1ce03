import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FractalEvent, NewEvent } from '../../events/events.ts'
import { identified, requested } from '../platform/with-log.ts'
import { completed, params, sha256 } from '../support/legal-history.ts'
import { folds, kept, type Place, withTwoPlaces } from './with-export.ts'

const failed = (fractal: string): FractalEvent => {
  const error = { code: 'render-failed', message: 'no luck' }
  return identified({ type: 'TaskFailed', fractal, data: { generation: 1, error, attempts: 1 } })
}
const retried = (fractal: string): FractalEvent => {
  const data = { generation: 2, cause: 'retry' as const, params, chosen: [], requestHash: sha256 }
  return identified({ type: 'TaskRequested', fractal, data })
}
const deleted = (fractal: string): FractalEvent => identified({ type: 'TaskDeleted', fractal, data: {} })
const append = async ({ log }: Place, ...events: FractalEvent[]) => {
  for (const event of events) await log.append(event)
}

test('a fractal that went another way here stays as it is, is told exactly, and keeps nothing else out', () =>
  withTwoPlaces(async (source, target, dir) => {
    const [same, other, third] = [v4(), v4(), v4()]
    for (const uuid of [same, other, third]) await source.log.append(requested(uuid))
    const cancel = (fractal: string): NewEvent => ({
      type: 'TaskCancelled',
      fractal,
      data: { generation: 1, reason: 'x' },
    })
    await source.exportTo(dir)
    await target.importFrom(dir)
    const theirs = identified(cancel(other))
    await target.log.append(theirs)
    const ours = identified({ ...completed(1), fractal: other })
    await source.log.append(ours)
    await source.log.append(identified({ type: 'TaskDeleted', fractal: other, data: {} }))
    await source.log.append(identified(cancel(third)))
    await source.exportTo(dir)

    const conflict = {
      fractal: other,
      line: 4,
      slot: `fractal.outcome.${other}.1`,
      inExport: ours.id,
      inLog: theirs.id,
    }
    const before = await target.messages()
    const dry = await target.importFrom(dir, { dryRun: true })
    assert.equal([dry.appended, dry.duplicates, dry.skipped, dry.conflicts], [1, 3, 2, [conflict]])
    assert.equal(await target.messages(), before)
    const { id: _, ...wet } = await target.importFrom(dir)
    const { id: __, ...said } = dry
    assert.equal(wet, said)
    const state = async (uuid: string) => (await target.log.load(uuid)).status
    assert.equal([await state(same), await state(other), await state(third)], ['requested', 'cancelled', 'cancelled'])
    assert.is(wet.unfinished, 1)
  }))

test('what was retried here is not deleted by an import, nor what was deleted here retried', () =>
  withTwoPlaces(async (source, target, dir) => {
    const [kept, gone] = [v4(), v4()]
    for (const uuid of [kept, gone]) await append(source, requested(uuid), failed(uuid))
    await source.exportTo(dir)
    await target.importFrom(dir)
    const [theirs, ours] = [
      [retried(kept), deleted(gone)],
      [deleted(kept), retried(gone)],
    ] as const
    await append(target, ...theirs, identified({ ...completed(2), fractal: kept }))
    await append(source, ...ours)
    await source.exportTo(dir)
    const { conflicts, appended, skipped, unfinished } = await target.importFrom(dir)
    const slots = [`fractal.removed.${kept}`, `fractal.requested.${gone}.2`]
    assert.equal(
      conflicts,
      slots.map((slot, i) => {
        return { fractal: ours[i]?.fractal, line: 5 + i, slot, inExport: ours[i]?.id, inLog: theirs[i]?.id }
      }),
    )
    assert.equal([appended, skipped, unfinished], [0, 2, 0])
    assert.is((await target.log.load(kept)).status, 'completed')
    assert.is((await target.log.load(gone)).status, 'deleted')
  }))

test('what was retried and deleted in one log comes into another, in whatever order and by however many imports', () =>
  withTwoPlaces(async (source, target, dir) => {
    const [one, other, back] = [v4(), v4(), v4()]
    for (const uuid of [one, other, back]) await append(source, requested(uuid), failed(uuid))
    await append(source, retried(one), deleted(other), retried(back))
    await source.exportTo(dir)
    await target.importFrom(dir)
    await append(source, deleted(one), retried(other)) // by one who has not seen that it was deleted
    await source.exportTo(dir)
    assert.equal((await target.importFrom(dir)).conflicts, [])
    assert.equal(await kept(target), await kept(source))

    await append(target, identified({ ...completed(2), fractal: back }), deleted(back))
    await target.exportTo(`${dir}-back`)
    assert.equal((await source.importFrom(`${dir}-back`)).conflicts, [])
    assert.equal(await folds(source), await folds(target))
  }))

test.run()
