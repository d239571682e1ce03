import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkpoint, fractal, fractalVersion } from '../../services/platform/schema.ts'
import { foldLog } from '../../services/projector/fold-log.ts'
import { compareWithLog } from '../support/compare-with-log.ts'
import { withPostgres } from '../support/database.ts'
import { appendLegalHistories } from '../support/legal-log.ts'
import { NEWER } from '../support/newer-program.ts'
import { writeRaw } from '../support/write-raw.ts'
import { requested, withProjection } from './with-projection.ts'

const { signal } = new AbortController()

test('a batch that is prepared while the one before is written meets what that one leaves, however small they are', () =>
  withProjection(withPostgres, async ({ parts }) => {
    await appendLegalHistories(parts.log, { seed: 11, count: 30 })
    const { lastSeq } = await parts.log.head()
    for (const batchSize of [1, 2, 3, 7, 50]) {
      const seen: number[] = []
      await foldLog(parts, { signal, until: lastSeq, batchSize, onProgress: ({ seq }) => seen.push(seq) })
      const { seq, differences } = await compareWithLog(parts)
      assert.equal([seq, differences], [lastSeq, []], `in batches of ${batchSize}`)
      assert.equal(
        seen,
        [...seen].sort((a, b) => a - b),
      )
      assert.is(seen.length, Math.ceil(lastSeq / batchSize))
      for (const table of [fractal, fractalVersion, checkpoint]) await parts.db.delete(table)
    }
  }))

test('it ends within a batch where it is asked to', () =>
  withProjection(withPostgres, async ({ parts }) => {
    await appendLegalHistories(parts.log, { seed: 5, count: 10 })
    const { lastSeq } = await parts.log.head()
    for (let until = 1; until <= lastSeq; until += 4) {
      await foldLog(parts, { signal, until, batchSize: 3 })
      const { seq, differences } = await compareWithLog(parts)
      assert.equal([seq, differences], [until, []])
    }
  }))

test('it ends where it is asked to, although the event after cannot be read', () =>
  withProjection(withPostgres, async ({ parts, server, append }) => {
    const request = requested()
    await append(request, requested(), requested())
    const { fractal } = request
    await writeRaw(server.url, { type: 'TaskCancelled', fractal, data: { generation: 1, reason: 'asked for' } }, NEWER)
    const isDone = async ({ seq }: { seq: number }) => seq === 3
    await foldLog(parts, { signal, batchSize: 3, isDone })
    assert.is((await compareWithLog(parts)).seq, 3)
  }))

test.run()
