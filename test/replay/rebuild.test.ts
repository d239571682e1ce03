import { eq } from 'drizzle-orm'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError } from '../../events/errors.ts'
import { fractal } from '../../services/platform/schema.ts'
import { compareWithLog } from '../../services/replay/compare.ts'
import { rebuild } from '../../services/replay/rebuild.ts'
import { type Projection, requested, withProjection } from '../projector/with-projection.ts'
import { withPostgres } from '../support/database.ts'
import { generateLog } from '../support/generated-log.ts'
import { until } from '../support/until.ts'

const withTable = (use: (projection: Projection) => Promise<void>) => withProjection(withPostgres, use)
const signal = new AbortController().signal

test('a table that lies is told from the log row by row, and a rebuild mends it', () =>
  withTable(async (p) => {
    const [changed, lost, invented] = [v4(), v4(), v4()]
    const projector = p.start()
    await p.append(requested(changed), requested(lost))
    await p.caughtUp()
    await projector.stop()
    assert.equal(await compareWithLog(p.parts), { seq: 2, fractals: 2, differences: [] })

    const { db } = p.parts
    const [row] = await db.select().from(fractal).where(eq(fractal.uuid, lost))
    if (!row) throw new Error('it was projected')
    await db.update(fractal).set({ width: 1, errorCode: 'x' }).where(eq(fractal.uuid, changed))
    await db.delete(fractal).where(eq(fractal.uuid, lost))
    await db.insert(fractal).values({ ...row, uuid: invented })
    const { differences } = await compareWithLog(p.parts)
    assert.equal(
      new Map(differences.map((d) => [d.uuid, [d.inTable !== null, d.inLog !== null, ...d.fields]])),
      new Map([
        [changed, [true, true, 'width', 'errorCode']],
        [lost, [false, true]],
        [invented, [true, false]],
      ]),
    )

    const heard: number[] = []
    assert.is(await rebuild({ ...p.parts, signal, onProgress: ({ seq }) => heard.push(seq) }), 2)
    assert.is(heard.at(-1), 2)
    assert.equal(await p.equalsLog(), { seq: 2, fractals: 2 })
  }))

test('a rebuild makes table and checkpoint where there are none, of an empty log as well', () =>
  withTable(async (p) => {
    assert.is(await rebuild({ ...p.parts, signal }), 0)
    assert.equal(await p.equalsLog(), { seq: 0, fractals: 0 })
  }))

test('a rebuild under a running projector ends with both in agreement, and the projector goes on', () =>
  withTable(async (p) => {
    p.start()
    await generateLog(p.server.url, 9_000)
    await p.caughtUp()
    assert.is(await rebuild({ ...p.parts, signal }), 9_000)
    await p.append(requested())
    await p.caughtUp()
    assert.equal(await p.equalsLog(), { seq: 9_001, fractals: 3_001 })
  }))

test('a rebuild that was interrupted leaves a beginning that a projector ends', () =>
  withTable(async (p) => {
    await generateLog(p.server.url, 12_000)
    const stop = new AbortController()
    try {
      await rebuild({ ...p.parts, signal: stop.signal, onProgress: () => stop.abort() })
      assert.unreachable()
    } catch (error) {
      assert.ok(error instanceof FaafoError && error.code === 'aborted')
    }
    const { seq } = await p.equalsLog()
    assert.ok(seq > 0 && seq < 12_000)
    p.start()
    await until(async () => (await p.checkpoint()).seq === 12_000, { what: 'the projector ends it' })
    assert.equal(await p.equalsLog(), { seq: 12_000, fractals: 4_000 })
  }))

test.run()
