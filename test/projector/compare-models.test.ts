import { and, eq, sql } from 'drizzle-orm'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NewEvent } from '../../events/events.ts'
import { migrateDatabase } from '../../services/platform/migrate.ts'
import { checkModel, liveModel, type ReadModel } from '../../services/platform/read-model.ts'
import { fractal, fractalVersion } from '../../services/platform/schema.ts'
import type { Copy } from '../../services/projector/apply-batch.ts'
import { openCheckpoint } from '../../services/projector/checkpoint.ts'
import { compareModels } from '../../services/projector/compare-models.ts'
import { beginCopy } from '../../services/projector/copies.ts'
import { foldLog } from '../../services/projector/fold-log.ts'
import { cancelled } from './held-events.ts'
import { type Projection, requested } from './with-projection.ts'
import { signal, withTable } from './with-table.ts'

const deleted = (fractal: string): NewEvent => ({ type: 'TaskDeleted', fractal, data: {} })

/** The served tables and those of another copy, each with the log's events up to a sequence. */
async function fold({ parts }: Projection, { live, next }: { live: number; next: number }): Promise<Copy> {
  await migrateDatabase(parts.db)
  const { epoch } = await openCheckpoint(parts.db)
  const copy = await beginCopy(parts.db, checkModel)
  await foldLog(parts, { signal, copy: { model: liveModel, epoch }, until: live })
  await foldLog(parts, { signal, copy, until: next })
  return copy
}

const compare = (p: Projection, copy: Copy, isOtherLog = false) => compareModels(p.parts.db, copy, isOtherLog)

const isOf = ({ versions }: ReadModel, uuid: string, seq: number) =>
  and(eq(versions.uuid, uuid), eq(versions.lastSeq, seq))

for (const [name, at] of Object.entries({
  'the served one is further': { live: 8, next: 4 },
  'the one from the log is further': { live: 4, next: 8 },
})) {
  test(`${name}: what changed since is no difference, what lies is one all the same`, () =>
    withTable(async (p) => {
      const { db } = p.parts
      const [same, changed, removed, other] = [v4(), v4(), v4(), v4()]
      await p.append(requested(same), requested(changed), requested(removed), requested(other))
      await p.append(cancelled(changed), cancelled(removed), deleted(removed), requested())
      const copy = await fold(p, at)
      const { differing, live, next, rows } = await compare(p, copy)
      assert.equal([differing, live, next, rows], [0, at.live, at.next, 4])

      await db.update(fractal).set({ width: 1 }).where(eq(fractal.uuid, changed))
      assert.is((await compare(p, copy)).differing, 0, 'nobody knows what it is to be')
      await db
        .update(fractalVersion)
        .set({ status: 'failed' })
        .where(isOf(liveModel, changed, 2))
      await db.update(fractal).set({ width: 1 }).where(eq(fractal.uuid, same))
      await db.delete(fractal).where(eq(fractal.uuid, other))
      const { differences } = await compare(p, copy)
      const told = differences.map(({ uuid, version, inTable, inLog, columns }) => [
        uuid,
        [version, inTable !== null, inLog !== null, ...columns],
      ])
      assert.equal(
        new Map(told as [string, unknown[]][]),
        new Map<string, unknown[]>([
          [changed, [2, true, true, 'status']],
          [same, [null, true, true, 'width']],
          [other, [null, false, true]],
        ]),
      )
    }))
}

test('two rows that have what the other should have are two differences, and versions are told by their event', () =>
  withTable(async (p) => {
    const { db } = p.parts
    const [one, other] = [v4(), v4()]
    await p.append(requested(one), requested(other), cancelled(one))
    const copy = await fold(p, { live: 3, next: 3 })
    await db.execute(sql`update fractal f set first_id = g.first_id from fractal g where g.uuid <> f.uuid`)
    assert.is((await compare(p, copy)).differing, 2)
    await db.delete(fractal)
    await db.execute(sql`insert into fractal select * from ${checkModel.table}`)
    assert.is((await compare(p, copy)).differing, 0)

    await db.delete(fractalVersion).where(isOf(liveModel, other, 2))
    await db.execute(sql`
      update ${checkModel.versions} v set first_id = w.last_id, last_id = w.first_id
        from ${checkModel.versions} w where v.uuid = w.uuid and v.last_seq = 1 and w.last_seq = 3`)
    const { differences } = await compare(p, copy)
    assert.equal(differences.map(({ uuid, version }) => `${uuid} ${version}`).sort(), [`${one} 1`, `${other} 2`].sort())
  }))

test('of another log everything is compared, also what came after', () =>
  withTable(async (p) => {
    const uuid = v4()
    await p.append(requested(uuid), cancelled(uuid), requested())
    const copy = await fold(p, { live: 1, next: 3 })
    const { differences } = await compare(p, copy, true)
    assert.equal(differences.map(({ version, inTable }) => `${version} ${inTable ? 'differs' : 'is missing'}`).sort(), [
      '2 is missing',
      '3 is missing',
      'null differs',
      'null is missing',
    ])
  }))

test.run()
