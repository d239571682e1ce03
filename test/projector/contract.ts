import process from 'node:process'
import { sql } from 'drizzle-orm'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cursorOf } from '../../events/cursor.ts'
import type { NewEvent } from '../../events/events.ts'
import { fractal } from '../../services/platform/schema.ts'
import { type Child, startOurs } from '../support/child.ts'
import { generateLog } from '../support/generated-log.ts'
import { completed } from '../support/legal-history.ts'
import { root } from '../support/project.ts'
import { until } from '../support/until.ts'
import { oneStandsBy, type Projection, requested, type WithDatabase, withProjection } from './with-projection.ts'

/** `faafo projector` as a process of its own, logging all. */
const startProcess = ({ server, database }: Projection): Promise<Child> =>
  startOurs('services/projector/main', ['--supervised'], {
    cwd: root,
    env: { ...process.env, NATS_URL: server.url, DATABASE_URL: database.url, LOG_LEVEL: 'debug', LOG_FORMAT: 'json' },
  })

/** What a projector owes, whichever database it writes to. */
export function projectorContract(withDatabase: WithDatabase): void {
  const given = (name: string, use: (projection: Projection) => Promise<void>) =>
    test(name, () => withProjection(withDatabase, use))

  given('an empty table is brought to the log’s end, and the checkpoint says which event that is', async (p) => {
    await generateLog(p.server.url, 5_100)
    p.start()
    await p.caughtUp()
    assert.equal(await p.equalsLog(), { seq: 5_100, fractals: 1_700 })
    const last = await p.parts.log.at(5_100)
    const { eventId, streamCreated, time, halted } = await p.checkpoint()
    assert.is(eventId, last?.id)
    assert.is(streamCreated, (await p.parts.log.head()).created)
    assert.ok(Math.abs(time - (last?.recordedAt ?? 0)) <= 1)
    assert.is(halted, null)
  })

  given('what happens is projected as it happens, and a removed fractal has no row', async (p) => {
    p.start()
    const [kept, gone] = [v4(), v4()]
    await p.append(requested(kept), requested(gone), { ...completed(1), fractal: kept })
    await p.caughtUp()
    const rows = await p.parts.db.select({ uuid: fractal.uuid, status: fractal.status }).from(fractal)
    assert.equal(
      new Map(rows.map(({ uuid, status }) => [uuid, status])),
      new Map([
        [kept, 'completed'],
        [gone, 'requested'],
      ]),
    )
    await p.append({ type: 'TaskDeleted', fractal: gone, data: {} })
    await p.caughtUp()
    assert.equal(await p.equalsLog(), { seq: 4, fractals: 1 })
  })

  given('two projectors racing leave what one would have left, and one of them stands by', async (p) => {
    const projectors = [p.start(), p.start()]
    await generateLog(p.server.url, 5_100)
    await p.caughtUp()
    assert.equal(await p.equalsLog(), { seq: 5_100, fractals: 1_700 })
    await oneStandsBy(p, () => projectors.some((one) => one.said('standing by')))
    await p.equalsLog()
  })

  given('a projector killed in the midst of its work goes on when started again; a standby takes over', async (p) => {
    await generateLog(p.server.url, 3_000)
    for (let kills = 0; kills < 2; kills++) {
      const doomed = await startProcess(p)
      const before = (await p.parts.log.head()).lastSeq
      const writing = generateLog(p.server.url, 6_000)
      await until(async () => ((await p.checkpoint().catch(() => null))?.seq ?? 0) > before, { what: 'it works' })
      await doomed.end('SIGKILL')
      await writing
    }
    const active = await startProcess(p)
    await p.caughtUp()
    const standby = p.start()
    await oneStandsBy(p, () => standby.said('standing by') || active.output().includes('standing by'))
    await active.end('SIGKILL')
    await p.append(requested())
    await p.caughtUp()
    assert.is((await p.equalsLog()).seq, (await p.parts.log.head()).lastSeq)
  })

  given('a projector that is told to stop finishes what it has in hand', async (p) => {
    await generateLog(p.server.url, 300)
    const child = await startProcess(p)
    await p.caughtUp()
    await child.end('SIGTERM')
    assert.not.match(child.output(), /"level":[56]0/)
    await p.equalsLog()
  })

  given('a database that was killed is waited for', async (p) => {
    const projector = p.start()
    await p.append(requested())
    await p.caughtUp()
    await p.database.kill()
    await generateLog(p.server.url, 3_000)
    await until(() => projector.said('projecting interrupted'), { what: 'the outage was met' })
    await p.database.restart()
    await p.caughtUp()
    assert.equal(await p.equalsLog(), { seq: 3_001, fractals: 1_001 })
  })

  given('a table that was lost is made again from the log', async (p) => {
    p.start()
    await generateLog(p.server.url, 300)
    await p.caughtUp()
    await p.parts.db.execute(sql`drop schema drizzle cascade`)
    await p.parts.db.execute(
      sql`drop table fractal, fractal_version, held_event, projection_checkpoint, webhook_attempt`,
    )
    await p.append(requested())
    await p.caughtUp()
    assert.equal(await p.equalsLog(), { seq: 301, fractals: 101 })
  })

  given('an event that cannot be stored halts the projector, after those before it', async (p) => {
    const broken: NewEvent = {
      ...requested(),
      data: { ...requested().data, params: { ...requested().data.params, width: 2 ** 40 } },
    }
    await p.append(requested(), requested(), broken, requested())
    const projector = p.start()
    await until(() => projector.said('projector halted'), { what: 'it halts' })
    await until(async () => (await p.checkpoint()).halted !== null, { what: 'it says so' })
    const { seq, halted } = await p.checkpoint()
    assert.is(seq, 2)
    const cursor = cursorOf((await p.parts.log.at(3)) ?? { seq: 0, id: '' })
    assert.match(halted ?? '', /^cannot store event 3: /)
    assert.ok(halted?.includes(`(cursor ${cursor})`))
    assert.is((await p.parts.db.select().from(fractal)).length, 2)
  })
}
