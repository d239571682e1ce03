import { Buffer } from 'node:buffer'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { importKind } from '../../events/import.ts'
import { aggregatesOf } from '../../services/platform/aggregates.ts'
import { fractalAsOf } from '../../services/platform/as-of.ts'
import { openImports } from '../../services/platform/imports.ts'
import { lastSeqBy } from '../../services/platform/log-time.ts'
import { tailLog } from '../../services/replay/tail.ts'
import { identified, requested, withAdministration } from '../platform/with-log.ts'
import { generateLog } from '../support/generated-log.ts'
import { completed } from '../support/legal-history.ts'
import { appendLegalHistories } from '../support/legal-log.ts'
import { folds, kept, keptOf, type Place, withTwoPlaces } from './with-export.ts'

const never = new AbortController().signal
const seed = Math.floor(Math.random() * 2 ** 31)
console.log(`seed ${seed}`)

test('a log comes to an empty installation as it was: every event, in its order, with its time; and so back', () =>
  withTwoPlaces(async (source, target, dir) => {
    await appendLegalHistories(source.log, { seed, count: 60 })
    const { lastSeq } = await source.log.head()
    await source.exportTo(dir)
    const { appended, duplicates, conflicts, skipped, images } = await target.importFrom(dir)
    assert.equal([appended, duplicates, conflicts, skipped, images], [lastSeq, 0, [], 0, null])
    assert.equal(await kept(target), await kept(source))
    assert.equal(await folds(target), await folds(source))

    await rm(dir, { recursive: true })
    await target.exportTo(dir)
    const back = await source.importFrom(dir)
    assert.equal([back.appended, back.duplicates, back.conflicts], [0, lastSeq, []])
  }))

test('what was imported is exported and imported again with the time of its first log', () =>
  withTwoPlaces(async (source, target, dir) => {
    await appendLegalHistories(source.log, { seed, count: 5 })
    await source.exportTo(dir)
    await target.importFrom(dir)
    await target.exportTo(`${dir}-2`)
    const [first, second] = await Promise.all(
      [dir, `${dir}-2`].map((each) => readFile(join(each, 'events.ndjson'), 'utf8')),
    )
    const times = (text = '') => text.match(/"recordedtime":"[^"]*","slot"/g)
    assert.equal(times(second), times(first))
  }))

test('an import done twice, or of exports that overlap, brings each event once', () =>
  withTwoPlaces(async (source, target, dir) => {
    await appendLegalHistories(source.log, { seed, count: 10 })
    await source.exportTo(dir)
    const first = await target.importFrom(dir)
    const again = await target.importFrom(dir)
    assert.equal([again.appended, again.duplicates, again.id], [0, first.appended, first.id])
    await appendLegalHistories(source.log, { seed: seed + 1, count: 10 })
    await source.exportTo(`${dir}-all`)
    await source.exportTo(`${dir}-since`, { since: { seq: 5, idPrefix: null } })
    const { events, appended, duplicates, id } = await target.importFrom(`${dir}-all`)
    assert.equal([appended, duplicates], [events - first.events, first.events])
    assert.is(id, first.id)
    const since = await target.importFrom(`${dir}-since`)
    assert.equal([since.appended, since.duplicates], [0, events - 5])
    assert.equal(await kept(target), await kept(source))
    const types = (await aggregatesOf(target.broker, importKind).history(first.id)).map(({ type }) => type)
    assert.equal(types, ['ImportBegun', 'ImportFinished', 'ImportBegun', 'ImportFinished'])
  }))

test('an import goes into a log that is in use', () =>
  withTwoPlaces(async (source, target, dir) => {
    await generateLog(source.server.url, 3_000)
    await source.exportTo(dir)
    let busy = true
    let written = 0
    const writing = (async () => {
      while (busy) {
        await target.log.append(requested())
        written++
      }
    })()
    const { appended } = await target.importFrom(dir)
    busy = false
    await writing
    assert.is(appended, 3_000)
    const imported = (await target.messages()).filter(({ headers }) => headers['ce-importid'])
    assert.equal(imported.map(keptOf), await kept(source))
    assert.is((await target.log.head()).lastSeq, 3_000 + written)
  }))

test('nothing is written of an export that is damaged anywhere, and the line is named', () =>
  withTwoPlaces(async (source, target, dir) => {
    await generateLog(source.server.url, 3_000)
    await source.exportTo(dir)
    const file = join(dir, 'events.ndjson')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace(/"seq":2999/, '"seq":2998'))
    const error = await target.importFrom(dir).catch((error) => error)
    assert.ok(isFaafoError(error, 'export-unusable'))
    assert.match(error.message, /line 2999 is damaged: its hash does not match/)
    assert.is((await target.log.head()).lastSeq, 0)
    await writeFile(file, text)
    assert.is((await target.importFrom(dir, { dryRun: true })).appended, 3_000)
    assert.is((await target.log.head()).lastSeq, 0)
  }))

test('events that this program cannot read come through unharmed', () =>
  withTwoPlaces(async (source, target, dir) => {
    const uuid = v4()
    const attributes = {
      'ce-specversion': '1.0',
      'ce-id': v4(),
      'ce-subject': uuid,
      'content-type': 'application/json',
    }
    const slot = (n: number) => `fractal.attempt.${uuid}.1.${n}`
    await source.log.append(requested(uuid))
    for (const [n, type, body] of [
      [1, 'TaskPainted', '{"a": 1.0}'],
      [2, 'TaskStarted', '{"1":1,"a":2,"0":0}'],
      [3, 'TaskStarted', 'no JSON'],
      [4, 'TaskStarted', ''],
      [5, 'TaskStarted', Buffer.from([0, 255, 254, 10])],
      [6, 'TaskStarted', '{"__proto__":{"a":"\\ud800"}}'],
      [7, 'TaskStarted', 'null'],
    ] as const) {
      await source.write(slot(n), { ...attributes, 'ce-id': v4(), 'ce-type': type, 'ce-new': `said ${n}` }, body)
    }
    await source.write(`fractal.removed.${uuid}`, { 'ce-schemaversion': '99' }, '{}')
    await source.exportTo(dir)
    assert.is((await source.exportTo(dir)).added, 0)
    const { appended, duplicates } = await target.importFrom(dir)
    assert.equal([appended, duplicates], [9, 0])
    assert.equal(await kept(target), await kept(source))
    assert.is((await target.importFrom(dir)).duplicates, 9)
  }))

test('images are there before the events that name them; missing and damaged ones are told', () =>
  withTwoPlaces(async (source, target, dir) => {
    const put = async (text: string) => (await source.images.put([Buffer.from(text)])).key
    const keys = [await put('one'), await put('two'), await put('three')]
    for (const imageKey of keys) {
      const { event } = await source.log.append(requested())
      const { data } = completed(1)
      await source.log.append(
        identified({ type: 'TaskCompleted', fractal: event.fractal, data: { ...data, imageKey } }),
      )
    }
    const [one = '', two = '', three = ''] = keys
    await source.images.remove(three)
    assert.equal((await source.exportTo(dir, { withImages: true })).images, { copied: 2, missing: 1 })
    await writeFile(join(dir, 'images', two.slice(0, 2), `${two}.png`), 'tw0')
    for (const dryRun of [true, false]) {
      const { images, appended } = await target.importFrom(dir, { dryRun })
      assert.equal([images, appended], [{ copied: 1, missing: 1, damaged: [two] }, 6])
      assert.is(await target.images.has(one), !dryRun)
    }
    assert.not.ok(await target.images.has(two))
    // Mended in the folder, it comes with the next import, although its event is there.
    await writeFile(join(dir, 'images', two.slice(0, 2), `${two}.png`), 'two')
    assert.equal((await target.importFrom(dir)).images, { copied: 1, missing: 1, damaged: [] })
    assert.ok(await target.images.has(two))
  }))

test('an import is told of before its first event and after its last; what is left without an outcome is counted', () =>
  withTwoPlaces(async (source, target, dir) => {
    const [open, cancelled, deleted] = [v4(), v4(), v4()]
    for (const uuid of [open, cancelled, deleted]) await source.log.append(requested(uuid))
    const cancel = { generation: 1, reason: 'x' }
    for (const fractal of [cancelled, deleted]) {
      await source.log.append(identified({ type: 'TaskCancelled', fractal, data: cancel }))
    }
    await source.log.append(identified({ type: 'TaskDeleted', fractal: deleted, data: {} }))
    await source.exportTo(dir)
    const imports = openImports(target.broker)
    const stop = new AbortController()
    stop.abort()
    await target.importFrom(dir, { signal: stop.signal }).catch(() => {})
    const { id, unfinished } = await target.importFrom(dir, { dryRun: true })
    assert.is(unfinished, 1)
    assert.not.ok(await imports.isOver(id))
    await target.importFrom(dir)
    assert.ok(await imports.isOver(id))
    const [begun, finished] = await aggregatesOf(target.broker, importKind).history(id)
    const { created } = await source.log.head()
    assert.is(begun?.data && 'log' in begun.data && begun.data.log, created)
    assert.equal(finished?.data, { appended: 6, duplicates: 0, conflicts: 0 })
  }))

test('the record of an import that is lost meanwhile is made anew, since workers wait for its end', () =>
  withTwoPlaces(async (source, target, dir) => {
    const { key: imageKey } = await source.images.put([Buffer.from('one')])
    const request = requested()
    const { data } = completed(1)
    const { fractal } = request
    await source.log.append(request)
    await source.log.append(identified({ type: 'TaskCompleted', fractal, data: { ...data, imageKey } }))
    await source.exportTo(dir, { withImages: true })
    const images: Place['images'] = {
      ...target.images,
      async put(chunks, options) {
        await withAdministration(target.server.url, async (jsm) => {
          const { config } = await jsm.streams.info(target.broker.names.aggregateStream)
          await jsm.streams.delete(config.name)
          await jsm.streams.add(config)
        })
        return target.images.put(chunks, options)
      },
    }
    const { id, appended } = await target.importFrom(dir, { images })
    assert.is(appended, 2)
    assert.ok(await openImports(target.broker).isOver(id))
  }))

test('moments: an imported fractal is shown as it was then, and what came into the log since a time is found', () =>
  withTwoPlaces(async (source, target, dir) => {
    const old = { ...requested(), recordedtime: '2020-01-01T00:00:00.000Z' }
    await source.log.append(old)
    const cancelled = identified({ type: 'TaskCancelled', fractal: old.fractal, data: { generation: 1, reason: 'x' } })
    await source.log.append({ ...cancelled, recordedtime: '2020-01-03T00:00:00.000Z' })
    await source.exportTo(dir)
    const before = (await target.log.append(requested())).event
    await target.importFrom(dir)
    const after = (await target.log.append(requested())).event
    const { recordedAt } = (await target.log.at(before.seq)) ?? { recordedAt: 0 }

    const asOf = (time: string) => fractalAsOf(target.log, old.fractal, { time: Date.parse(time) })
    assert.is((await asOf('2020-01-02T00:00:00Z')).status, 'requested')
    assert.is((await asOf('2020-01-04T00:00:00Z')).status, 'cancelled')
    assert.ok((await asOf('2019-12-31T00:00:00Z').catch((error) => error)) instanceof FaafoError)

    assert.is(await lastSeqBy(target.log, recordedAt), 1)
    assert.is(await lastSeqBy(target.log, Date.parse('2020-06-01T00:00:00Z')), 0)
    const since = async (time: number) => {
      const ids: string[] = []
      for await (const { id } of tailLog(target, { since: { time }, follow: false, signal: never })) ids.push(id)
      return ids
    }
    assert.equal(await since(recordedAt), [before.id, after.id])
    assert.equal(await since(Date.parse('2020-01-02T00:00:00Z')), [before.id, cancelled.id, after.id])
  }))

test.run()
