import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { rebuild, rollBack } from '../../services/projector/rebuild.ts'
import { withPostgres } from '../support/database.ts'
import { generateLog } from '../support/generated-log.ts'
import { until } from '../support/until.ts'
import { putOlderLogBack } from './log-replaced.ts'
import { type Projection, requested, withProjection } from './with-projection.ts'

const haltedFor = (p: Projection, reason: RegExp) =>
  until(async () => reason.test((await p.checkpoint()).halted ?? ''), { what: `it halts for ${reason}` })

test('an older copy of the log under a running projector halts it, and the right one gets it going', async () => {
  await withProjection(withPostgres, async (p) => {
    const projector = p.start()
    await generateLog(p.server.url, 300)
    await p.caughtUp()
    const { putRightLogBack } = await putOlderLogBack(p)
    await haltedFor(p, /^cannot go on from event 900: the log ends at event 300.*faafo replay rebuild/)
    assert.ok(projector.said('projector halted'))

    // Grown beyond the checkpoint, it is still another log.
    await generateLog(p.server.url, 900)
    await haltedFor(p, /^cannot go on from event 900: the event there is now /)
    assert.is((await p.checkpoint()).seq, 900)

    await putRightLogBack()
    await until(async () => (await p.checkpoint()).halted === null, { what: 'it goes on' })
    await p.append(requested())
    await p.caughtUp()
    assert.equal(await p.equalsLog(), { seq: 901, fractals: 301 })
  })
})

test('an older copy of the log that grew while nobody read halts the next projector', async () => {
  await withProjection(withPostgres, async (p) => {
    const before = p.start()
    await generateLog(p.server.url, 300)
    await p.caughtUp()
    await putOlderLogBack(p)
    await before.stop()
    await generateLog(p.server.url, 900)
    p.start()
    await haltedFor(p, /^cannot go on from event 900: the event there is now /)
  })
})

test('a log that was made anew halts the projector, until a rebuild accepts it', async () => {
  await withProjection(withPostgres, async (p) => {
    const projector = p.start()
    await generateLog(p.server.url, 300)
    await p.caughtUp()
    await p.server.stop()
    await rm(join(p.server.storeDir, 'jetstream'), { recursive: true })
    await p.server.restart()
    await generateLog(p.server.url, 600)
    await haltedFor(p, /^cannot go on from event 300: the log was made at /)

    await p.reconnected()
    const signal = new AbortController().signal
    assert.is((await rebuild(p.parts, { signal })).seq, 600)
    assert.is((await p.checkpoint()).halted, null)
    assert.equal(await p.equalsLog(), { seq: 600, fractals: 200 })
    await p.append(requested())
    await p.caughtUp()
    await until(() => projector.said('projecting again'), { what: 'it says so' })
    assert.is((await p.equalsLog()).seq, 601)
  })
})

test('a log that was accepted by mistake: the right one and the table before can be put back', async () => {
  await withProjection(withPostgres, async (p) => {
    const signal = new AbortController().signal
    const [store, right] = [join(p.server.storeDir, 'jetstream'), join(p.server.storeDir, 'right')]
    await generateLog(p.server.url, 300)
    await rebuild(p.parts, { signal })
    await p.server.stop()
    await rename(store, right)
    await p.server.restart()
    await generateLog(p.server.url, 600)
    await p.reconnected()
    const refused = await rebuild(p.parts, { signal, acceptsLog: false }).catch((error) => error)
    assert.ok(isFaafoError(refused, 'log-replaced'), String(refused))
    assert.is((await rebuild(p.parts, { signal })).seq, 600)

    await p.server.stop()
    await rm(store, { recursive: true })
    await rename(right, store)
    await p.server.restart()
    await p.reconnected()
    assert.is((await rollBack(p.parts, { signal })).seq, 300)
    assert.equal(await p.equalsLog(), { seq: 300, fractals: 100 })
  })
})

test.run()
