import { join } from 'node:path'
import { eq, sql } from 'drizzle-orm'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fractal } from '../../services/platform/schema.ts'
import { createReplay } from '../../services/replay/replay.ts'
import { requested, withAdministration, withLog } from '../platform/with-log.ts'
import { generateLog } from '../support/generated-log.ts'
import { until } from '../support/until.ts'
import { all, failsWith, replayOf, withPictures } from './with-replay.ts'

test('a program reads the log, one history, and a fractal as it was', () =>
  withPictures(2, async (c, replay, [one = '', other = '']) => {
    const events = await all(replay.tail({ since: '0', follow: false }))
    assert.equal(
      events.map(({ cursor }) => Number.parseInt(cursor, 10)),
      [1, 2, 3, 4, 5, 6],
    )
    const types = ['TaskRequested', 'TaskCompleted'] as const
    const some = await all(replay.tail({ since: '0', uuids: [other.toUpperCase()], types, follow: false }))
    assert.equal(
      some.map(({ type, subject }) => [type, subject]),
      types.map((type) => [type, other]),
    )
    assert.equal(await all(replay.tail({ since: events[3]?.cursor ?? '', follow: false })), events.slice(4))

    const history = await replay.show(one)
    assert.equal(
      history.map(({ type }) => type),
      ['TaskRequested', 'TaskStarted', 'TaskCompleted'],
    )
    assert.equal(await replay.show(v4()), [])
    assert.is((await replay.asOf(one, history[0]?.cursor ?? '')).status, 'requested')
    assert.is((await replay.asOf(one, '2999-01-01T00:00:00Z')).status, 'completed')
    await failsWith('not-found', /there was none of that uuid/, replay.asOf(v4(), '2999-01-01T00:00:00Z'))
    await failsWith('log-replaced', /of another log/, replay.asOf(one, '1-00000000'))

    const { findings } = await replay.doctor()
    const severities = new Map(findings.map(({ check, severity }) => [check, severity]))
    for (const check of ['broker', 'stream', 'database', 'checkpoint', 'storage'] as const) {
      assert.is(severities.get(check), 'ok', check)
    }
    assert.is((await c.parts.log.head()).lastSeq, 6)
  }))

test('a program follows the log until it is told to stop, or has had enough, and leaves no consumer behind', () =>
  withLog(async ({ server, log }) => {
    const replay = createReplay({ natsUrl: server.url })
    const stop = new AbortController()
    const seen: string[] = []
    const following = (async () => {
      for await (const { type } of replay.tail({ signal: stop.signal })) seen.push(type)
    })()
    for (let n = 1; n <= 3; n++) {
      await log.append(requested())
      await until(() => seen.length === n, { what: 'the event is seen' })
    }
    stop.abort()
    await following
    for await (const _ of replay.tail()) break
    assert.equal(await all(replay.tail({ signal: stop.signal })), [])
    await withAdministration(server.url, (jsm) =>
      until(async () => (await jsm.consumers.list('FRACTAL').next()).length === 0, { what: 'its consumers are gone' }),
    )
  }))

test('a program proves that all agree, makes the table anew where it does not, and puts the one before back', () =>
  withPictures(2, async (c, replay, [one = '']) => {
    const { db } = c.parts
    const steps = new Set<string>()
    const well = await replay.verify({ pictures: 1, threads: 1, onProgress: ({ step }) => steps.add(step) })
    assert.equal(well, { seq: 6, fractals: 2, images: 2, drawn: 1, findings: [] })
    assert.equal([...steps], ['log', 'images', 'pictures'])

    await db.update(fractal).set({ width: 65 }).where(eq(fractal.uuid, one))
    const { findings } = await replay.verify()
    assert.equal(
      findings.map(({ kind, uuid }) => [kind, uuid]),
      [['row-differs', one]],
    )
    const widths = async () =>
      (await db.select({ width: fractal.width }).from(fractal)).map(({ width }) => width).sort()
    assert.is((await replay.rebuild({ dryRun: true })).differing, 1)
    assert.equal(await widths(), [64, 65])
    const progress: number[] = []
    const rebuilt = await replay.rebuild({ onProgress: ({ seq }) => progress.push(seq) })
    assert.equal([rebuilt.differing, rebuilt.differences[0]?.columns, progress.at(-1)], [1, ['width'], 6])
    assert.equal(await widths(), [64, 64])
    assert.equal(await replay.rollback({ dryRun: true }), { seq: 6 })
    assert.equal(await widths(), [64, 64])
    assert.equal(await replay.rollback(), { seq: 6 })
    assert.equal(await widths(), [64, 65])

    const connections = sql`select pid from pg_stat_activity where application_name = 'faafo replay' and datname = current_database()`
    await until(async () => (await db.execute(connections)).length === 0, { what: 'no connection is left' })
  }))

test('a program carries the log elsewhere', () =>
  withPictures(2, async (c, replay, [one = '']) => {
    const dir = join(c.imagesDir, 'export')
    const copy = replayOf(c, { namespace: 'copy', storageUrl: 'nats-object:pictures' })
    const bare = replayOf(c, { storageUrl: undefined })
    const first = await bare.exportTo(dir)
    assert.equal([first.events, first.added, first.images], [6, 6, null])
    const { events, added, images } = await replay.exportTo(dir, { images: true })
    assert.equal([events, added, images], [6, 0, { copied: 2, missing: 0 }])
    assert.equal((await bare.exportTo(dir)).images, { copied: 2, missing: 0 })

    const dry = await copy.importFrom(dir, { dryRun: true })
    assert.equal([dry.appended, dry.duplicates, dry.images?.copied], [6, 0, 2])
    await failsWith('log-unavailable', /has no stream copy[_-]?FRACTAL/i, copy.show(one))
    const { findings } = await replayOf(c, { storageUrl: 'nats-object:nowhere' }).verify()
    assert.ok(findings.length > 0 && findings.every(({ kind }) => kind === 'image-missing'))
    await withAdministration(c.server.url, async (jsm) => {
      assert.equal(await jsm.streams.names().next(), ['FAAFO', 'FRACTAL'], 'who only looks makes no bucket')
    })
    const many = replayOf(c, { namespace: 'many', replicas: 3 })
    await failsWith('log-unavailable', /cannot make the streams: replicas > 1 not supported/, many.importFrom(dir))
    const steps = new Set<string>()
    const imported = await copy.importFrom(dir, { onProgress: ({ step }) => steps.add(step) })
    assert.equal([imported.appended, imported.images?.copied, [...steps]], [6, 2, ['verifying', 'appending']])
    assert.is((await copy.importFrom(dir)).duplicates, 6)
    assert.equal(await copy.show(one), await replay.show(one))
    await failsWith('export-unusable', /there is no manifest.json in it/, copy.importFrom(join(dir, 'none')))
  }))

test('each long call ends soon once it is told to', () =>
  withPictures(0, async (c, replay) => {
    await generateLog(c.server.url, 12_000)
    await c.caughtUp()
    const dir = join(c.imagesDir, 'export')
    await replay.exportTo(dir)
    const copy = replayOf(c, { namespace: 'copy' })
    type Going = { signal: AbortSignal; onProgress: () => void }
    for (const call of [
      (going: Going) => replay.verify(going),
      (going: Going) => replay.rebuild(going),
      (going: Going) => replay.exportTo(join(dir, 'other'), going),
      (going: Going) => copy.importFrom(dir, going),
    ]) {
      const stop = new AbortController()
      await failsWith('aborted', /interrupted/, call({ signal: stop.signal, onProgress: () => stop.abort() }))
    }
    await failsWith('aborted', /interrupted/, replay.doctor({ signal: AbortSignal.abort() }))
  }))

test.run()
