import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NewEvent } from '../../events/events.ts'
import { type Fractal, fold, isFractal, type Task } from '../../events/task.ts'
import { fractalOf, rowOf } from '../../services/platform/fractal-row.ts'
import { project } from '../../services/projector/project.ts'
import { legalHistory, recordedAll, uuid } from '../support/legal-history.ts'
import { requested } from './with-projection.ts'

const deleted: NewEvent = { type: 'TaskDeleted', fractal: uuid, data: {} }
const fractalFrom = (...events: NewEvent[]): Fractal => {
  const task = fold(recordedAll(...events))
  if (!isFractal(task)) throw new Error(`it is ${task.status}`)
  return task
}

test('a table brought on batch by batch, however they are cut, holds the fold of the log', () => {
  const cuts = fc.array(fc.nat(40))
  fc.assert(
    fc.property(legalHistory, cuts, (history, places) => {
      const table = new Map<string, Task>()
      const bounds = [0, ...places.filter((place) => place < history.length).sort((a, b) => a - b), history.length]
      for (const [i, start] of bounds.entries()) {
        const { versions, deletes } = project(table, history.slice(start, bounds[i + 1] ?? start))
        for (const { state, isCurrent } of versions) if (isCurrent) table.set(state.uuid, fractalOf(rowOf(state)))
        for (const gone of deletes) assert.ok(table.delete(gone))
      }
      const task = fold(history)
      assert.equal([...table.values()], isFractal(task) ? [task] : [])
    }),
    { numRuns: 500 },
  )
})

test('a row holds everything that folding on needs', () => {
  fc.assert(
    fc.property(legalHistory, (history) => {
      const task = fold(history)
      if (isFractal(task)) assert.equal(fractalOf(rowOf(task)), task)
    }),
  )
})

test('every state is kept, however the batches are cut, and one of them at most is current', () => {
  const cuts = fc.array(fc.nat(40))
  fc.assert(
    fc.property(legalHistory, cuts, (history, places) => {
      const table = new Map<string, Task>()
      const kept: { lastSeq: number; status: string }[] = []
      const bounds = [0, ...places.filter((place) => place < history.length).sort((a, b) => a - b), history.length]
      for (const [i, start] of bounds.entries()) {
        const { versions, deletes } = project(table, history.slice(start, bounds[i + 1] ?? start))
        kept.push(...versions.map(({ state }) => ({ lastSeq: state.last.seq, status: state.status })))
        assert.ok(versions.filter(({ isCurrent }) => isCurrent).length <= 1)
        for (const { state, isCurrent } of versions) if (isCurrent) table.set(state.uuid, fractalOf(rowOf(state)))
        for (const gone of deletes) table.delete(gone)
      }
      const expected = history.flatMap(({ seq }, i) => {
        const [before, after] = [fold(history.slice(0, i)), fold(history.slice(0, i + 1))]
        return before === after || JSON.stringify(before) === JSON.stringify(after)
          ? []
          : { lastSeq: seq, status: after.status }
      })
      assert.equal(kept, expected)
    }),
  )
})

const statusesOf = ({ versions }: ReturnType<typeof project>) => versions.map(({ state }) => state.status)

test('a fractal removed in the batch that requested it leaves no row, but what it was', () => {
  const changes = project(new Map(), recordedAll(requested(uuid), deleted))
  assert.equal(changes.deletes, [])
  assert.equal(statusesOf(changes), ['requested', 'deleted'])
  assert.not(changes.versions.some(({ isCurrent }) => isCurrent))
})

test('a removed fractal takes its row along, and stays away', () => {
  const rows = new Map([[uuid, fractalFrom(requested(uuid))]])
  const changes = project(rows, recordedAll(requested(uuid), deleted).slice(1))
  assert.equal(changes.deletes, [uuid])
  assert.equal(statusesOf(changes), ['deleted'])
  const retry: NewEvent = { ...requested(uuid), data: { ...requested().data, generation: 2, cause: 'retry' } }
  assert.equal(project(new Map(), recordedAll(deleted, retry)), { versions: [], deletes: [], states: new Map() })
})

test('events that change nothing write nothing', () => {
  const rows = new Map([[uuid, fractalFrom(requested(uuid))]])
  assert.equal(project(rows, recordedAll(requested(uuid))), { versions: [], deletes: [], states: new Map() })
})

test('a row holds of an error what the database can', () => {
  const error = { code: 'render-failed', message: 'a\0b\ud800c' }
  const failed: NewEvent = { type: 'TaskFailed', fractal: uuid, data: { generation: 1, error, attempts: 1 } }
  assert.is(rowOf(fractalFrom(requested(uuid), failed)).errorMessage, 'ab\ufffdc')
})

test.run()
