import process from 'node:process'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCheckpoint } from '../../services/platform/checkpoint.ts'
import { nextModel } from '../../services/platform/read-model.ts'
import { fractal } from '../../services/platform/schema.ts'
import { MANY_EVENTS } from '../../services/projector/fill-empty.ts'
import { startOurs } from '../support/child.ts'
import { withOwnPostgres } from '../support/database.ts'
import { generateLog } from '../support/generated-log.ts'
import { completed } from '../support/legal-history.ts'
import { root } from '../support/project.ts'
import { until } from '../support/until.ts'
import { oneStandsBy, type Projection, requested, withProjection } from './with-projection.ts'

const MANY = Math.ceil(MANY_EVENTS / 3) * 3

const given = (name: string, use: (projection: Projection) => Promise<void>) =>
  test(name, () => withProjection(withOwnPostgres, use))

/** Whether rows come into a read model beside the one that is served. */
const isFilling = async ({ parts }: Projection) =>
  ((await readCheckpoint(parts.db, nextModel).catch(() => null))?.seq ?? 0) > 0

given('an empty table is filled whole where the log is long, and followed on from there', async (p) => {
  await generateLog(p.server.url, MANY)
  const projector = p.start()
  await until(() => isFilling(p), { what: 'it is filling' })
  assert.is((await p.parts.db.select().from(fractal)).length, 0)
  const one = v4()
  await p.append(requested(one), { ...completed(1), fractal: one })
  await p.caughtUp()
  await until(() => projector.said('the read model is filled'), { what: 'it says so' })
  assert.equal(await p.equalsLog(), { seq: MANY + 2, fractals: MANY / 3 + 1 })
  await p.append(requested())
  await p.caughtUp()
  assert.is((await p.equalsLog()).seq, MANY + 3)
})

given('a projector that is killed while it fills it leaves it empty, and the next one fills it', async (p) => {
  await generateLog(p.server.url, MANY)
  const env = { ...process.env, NATS_URL: p.server.url, DATABASE_URL: p.database.url }
  const doomed = await startOurs('services/projector/main', ['--supervised'], { cwd: root, env })
  await until(() => isFilling(p), { what: 'it is filling' })
  await doomed.end('SIGKILL')
  assert.is((await p.checkpoint()).seq, 0)
  const next = p.start()
  await p.caughtUp()
  await until(() => next.said('the read model is filled'), { what: 'it says so' })
  assert.is((await p.equalsLog()).seq, MANY)
})

given('two that fill it at the same time leave what one would have left', async (p) => {
  await generateLog(p.server.url, MANY)
  const projectors = [p.start(), p.start()]
  await p.caughtUp()
  assert.is((await p.equalsLog()).seq, MANY)
  await oneStandsBy(p, () => projectors.some((one) => one.said('standing by')))
  await p.equalsLog()
})

given('where an event cannot be stored those before it are in the table, and the projector halts at it', async (p) => {
  const { data, ...request } = requested()
  await generateLog(p.server.url, MANY)
  await p.append({ ...request, data: { ...data, params: { ...data.params, width: 2 ** 40 } } }, requested())
  const projector = p.start()
  await until(() => projector.said('projector halted', new RegExp(`cannot store event ${MANY + 1}`)), {
    what: 'it halts',
  })
  assert.ok(projector.said('cannot fill the read model by a rebuild'))
  assert.is((await p.checkpoint()).seq, MANY)
})

test.run()
