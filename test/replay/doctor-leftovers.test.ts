import { EventEmitter, once } from 'node:events'
import { sql } from 'drizzle-orm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCheckpoint } from '../../services/platform/checkpoint.ts'
import { checkModel, nextModel } from '../../services/platform/read-model.ts'
import { beginCopy } from '../../services/projector/copies.ts'
import { whileBuilt, withClinic } from './clinic.ts'

test('tables that a killed rebuild or comparison left are named once nobody works on them, and dropped by the remedy', () =>
  withClinic(async (p) => {
    const { db } = p.parts
    p.start()
    await p.healthy()
    await beginCopy(db, checkModel)
    const text = (schemas: string) =>
      `nobody goes on with the tables in ${schemas}: a rebuild or a comparison was killed`
    await whileBuilt(db, async () => {
      const { severity, found, remedy } = await p.finding('leftovers')
      assert.equal([severity, found, remedy], ['warning', text('faafo_check'), 'faafo replay doctor --mend'])
    })
    assert.is((await p.finding('leftovers')).found, text('faafo_next and faafo_check'))

    const [held, done] = [new EventEmitter(), new EventEmitter()]
    const isHeld = once(held, 'held')
    const working = db.transaction(async (tx) => {
      for (const { schema } of [nextModel, checkModel]) {
        await tx.execute(sql.raw(`lock table ${schema}.fractal in share mode`))
      }
      held.emit('held')
      await once(done, 'done')
    })
    await isHeld
    assert.equal(await p.ailing(), [])
    done.emit('done')
    await working

    const { code, stderr } = await p.carryOut(await p.finding('leftovers'))
    assert.is(code, 0, stderr)
    assert.match(stderr, /^leftovers mended: drops the tables in faafo_next and faafo_check\n/)
    for (const model of [nextModel, checkModel]) {
      assert.is(await readCheckpoint(db, model), null)
      const [{ schema } = {}] = await db.execute(sql`select to_regnamespace(${model.schema})::text as schema`)
      assert.is(schema, null)
    }
    await p.healthy()
  }))

test.run()
