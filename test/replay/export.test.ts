import { Buffer } from 'node:buffer'
import { appendFile, cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cursorOf, parseCursor } from '../../events/cursor.ts'
import { FaafoError } from '../../events/errors.ts'
import type { Broker } from '../../services/platform/broker.ts'
import { exportLog } from '../../services/replay/export.ts'
import { readManifest } from '../../services/replay/export-folder.ts'
import { tailLog } from '../../services/replay/tail.ts'
import { identified, requested, withAdministration } from '../platform/with-log.ts'
import { generateLog } from '../support/generated-log.ts'
import { completed } from '../support/legal-history.ts'
import { appendLegalHistories } from '../support/legal-log.ts'
import { until } from '../support/until.ts'
import { fileOf, linesOf, type Place, refused, withOnePlace } from './with-export.ts'

/** Whoever reads the log through it is kept waiting before the first event. */
function heldBroker(actual: Broker) {
  let [isReading, isHeld] = [false, true]
  const broker: Broker = {
    ...actual,
    nc() {
      if (isReading && isHeld) throw new FaafoError('log-unavailable', 'cannot reach the log: it is held')
      return actual.nc()
    },
    onReconnect(callback) {
      isReading = true
      return actual.onReconnect(callback)
    },
  }
  return {
    broker,
    isReading: () => isReading,
    release() {
      isHeld = false
    },
  }
}

const put = async (place: Place, text: string) => (await place.images.put([Buffer.from(text)])).key

/** A fractal that has that image. */
async function appendCompleted({ log }: Place, imageKey: string): Promise<void> {
  const { fractal } = (await log.append(requested())).event
  await log.append(identified({ type: 'TaskCompleted', fractal, data: { ...completed(1).data, imageKey } }))
}

test('an export has a line for each event, in the order of the log, and the manifest says what they are of', () =>
  withOnePlace(async (place, dir) => {
    await appendLegalHistories(place.log, { seed: 3, count: 20 })
    const messages = await place.messages()
    const exported = await place.exportTo(dir)
    const { created, lastSeq } = await place.log.head()
    assert.equal([exported.events, exported.added, exported.images], [lastSeq, lastSeq, null])
    const lines = await linesOf(dir)
    assert.equal(
      lines.map(({ seq, slot, event }) => [seq, slot, event.id]),
      messages.map(({ seq, subject, id }) => [seq, subject, id]),
    )
    const { writtenAt: _, program: __, head, bytes, ...manifest } = (await readManifest(dir)) ?? {}
    const [first, last] = [messages[0], messages.at(-1)].map((message) => message && cursorOf(message))
    const said = { log: created, since: null, complete: true, events: lastSeq, first, last, images: null }
    assert.equal(manifest, said)
    assert.is(head, lines.at(-1)?.hash)
    assert.is(bytes, (await readFile(fileOf(dir))).length)
    assert.equal((await readdir(dir)).sort(), ['events.ndjson', 'manifest.json'])
  }))

test('an export that ended anywhere goes on there, to the same bytes', () =>
  withOnePlace(async (place, dir) => {
    await generateLog(place.server.url, 300)
    await place.exportTo(dir)
    const whole = await readFile(fileOf(dir))
    const manifest = (await readManifest(dir)) ?? {}
    await generateLog(place.server.url, 0)
    const seed = Math.floor(Math.random() * 2 ** 31)
    console.log(`seed ${seed}`)
    for (const [length, garbage] of fc.sample(
      fc.tuple(fc.nat(whole.length), fc.oneof(fc.constant(''), fc.string({ maxLength: 300 }), fc.constant('\0\0\0'))),
      { seed, numRuns: 20 },
    )) {
      const other = join(dir, 'other')
      await rm(other, { recursive: true, force: true })
      // An export that begins, as the first one did, and is killed.
      const stop = new AbortController()
      stop.abort()
      assert.is((await refused(place.exportTo(other, { signal: stop.signal }))).code, 'aborted')
      await writeFile(fileOf(other), whole.subarray(0, length))
      await appendFile(fileOf(other), garbage)
      assert.is((await refused(place.importFrom(other))).code, 'export-unusable')
      const exported = await place.exportTo(other)
      const linesKept = whole.subarray(0, length).filter((byte) => byte === 10).length
      assert.equal([exported.events, exported.added], [300, 300 - linesKept])
      assert.ok((await readFile(fileOf(other))).subarray(0, whole.length).equals(whole))
      const { writtenAt: _, ...again } = (await readManifest(other)) ?? {}
      const { writtenAt: __, ...first } = manifest as { writtenAt?: string }
      assert.equal(again, first)
    }
  }))

test('done again an export gets what is new, and is whole at every moment', () =>
  withOnePlace(async (place, dir) => {
    await appendLegalHistories(place.log, { seed: 3, count: 5 })
    const first = await place.exportTo(dir)
    assert.is((await place.exportTo(dir)).added, 0)
    const before = await readFile(fileOf(dir))
    await appendLegalHistories(place.log, { seed: 4, count: 5 })
    const second = await place.exportTo(dir)
    assert.is(second.events, (await place.log.head()).lastSeq)
    assert.is(second.added, second.events - first.events)
    assert.is(second.first, first.first)
    assert.ok((await readFile(fileOf(dir))).subarray(0, before.length).equals(before))

    // What an interrupted one left beyond the manifest is no part of the export, and no harm.
    const end = (await readFile(fileOf(dir))).length
    await appendFile(fileOf(dir), '{"seq":')
    assert.is((await linesOf(dir)).length, second.events)
    await truncate(fileOf(dir), end - 1)
    assert.is((await refused(place.exportTo(dir))).code, 'export-unusable')
  }))

test('exports into one folder at the same time write the same', () =>
  withOnePlace(async (place, dir) => {
    await generateLog(place.server.url, 3_000)
    const all = await Promise.all([1, 2, 3].map(() => place.exportTo(dir)))
    for (const { events } of all) assert.is(events, 3_000)
    assert.is((await linesOf(dir)).length, 3_000)
  }))

for (const [first, second] of [
  [false, true],
  [true, false],
]) {
  const images = (isWith: boolean | undefined) => (isWith ? 'with' : 'without')
  test(`an export ${images(first)} images that ends after a later one ${images(second)} takes nothing back`, () =>
    withOnePlace(async (place, dir) => {
      const { logger } = place
      for (const grows of [true, false]) {
        await rm(dir, { recursive: true, force: true })
        await appendCompleted(place, await put(place, `one, ${grows}`))
        const { broker, isReading, release } = heldBroker(place.broker)
        const options = { dir, images: place.images, withImages: first === true, signal: new AbortController().signal }
        const exporting = exportLog({ broker, logger }, options)
        await until(isReading, { what: 'the first is under way' })
        if (grows) await appendCompleted(place, await put(place, `two, ${grows}`))
        const { events } = await place.exportTo(dir, { withImages: second === true })
        release()
        const ended = await exporting
        const copied = events / 2
        assert.equal([ended.events, ended.images], [events, { copied, missing: 0 }])
        const { complete, events: said, images } = (await readManifest(dir)) ?? {}
        assert.equal([complete, said, images], [true, events, { copied, missing: 0 }])
        assert.is((await linesOf(dir)).length, events)
        const names = (await readdir(join(dir, 'images'), { recursive: true })).filter((name) => name.endsWith('.png'))
        assert.is(names.length, copied)
      }
    }))
}

test('an end that the log loses while it is read is not waited for', () =>
  withOnePlace(async (place, dir) => {
    const { logger, log, server } = place
    await generateLog(server.url, 9)
    const store = join(server.storeDir, 'jetstream')
    await server.stop()
    await cp(store, `${dir}-store`, { recursive: true })
    await server.restart()
    await log.append(requested(), { withinMs: 10_000 })
    const signal = AbortSignal.timeout(30_000) // it would wait for ever
    const [exported, tailed] = [heldBroker(place.broker), heldBroker(place.broker)]
    const tail = async () => {
      const parts = { broker: tailed.broker, log, logger }
      for await (const _ of tailLog(parts, { since: parseCursor('0'), follow: false, signal }));
    }
    const reading = Promise.all([
      refused(exportLog({ broker: exported.broker, logger }, { dir, images: place.images, withImages: false, signal })),
      refused(tail()),
    ])
    await until(() => exported.isReading() && tailed.isReading(), { what: 'both are under way' })
    await server.kill()
    await rm(store, { recursive: true })
    await cp(`${dir}-store`, store, { recursive: true })
    await server.restart()
    exported.release()
    tailed.release()
    for (const { code, message } of await reading) {
      assert.is(code, 'log-replaced', message)
      assert.match(message, /the log ends at event 9; its end was lost/)
    }
    assert.is((await place.exportTo(dir)).events, 9)
  }))

test('while the log grows an export ends where the log ended when it began', () =>
  withOnePlace(async (place, dir) => {
    await generateLog(place.server.url, 3_000)
    let busy = true
    const writing = (async () => {
      while (busy) await place.log.append(requested())
    })()
    const { events } = await place.exportTo(dir)
    busy = false
    await writing
    assert.ok(events >= 3_000)
    assert.is((await linesOf(dir)).length, events)
    assert.is((await place.exportTo(dir)).events, (await place.log.head()).lastSeq)
  }))

test('an export since a cursor has what came after it, and a folder keeps to its beginning', () =>
  withOnePlace(async (place, dir) => {
    await generateLog(place.server.url, 30)
    const at = await place.log.at(10)
    const since = parseCursor(cursorOf(at ?? { seq: 0, id: '' }))
    assert.equal([(await place.exportTo(dir, { since })).events, (await linesOf(dir))[0]?.seq], [20, 11])
    assert.is((await place.exportTo(dir)).added, 0)
    const other = await refused(place.exportTo(dir, { since: parseCursor('5') }))
    assert.equal([other.code, /it holds an export since 10-/.test(other.message)], ['invalid-request', true])
    const elsewhere = `${dir}-elsewhere`
    for (const wrong of ['10-00000000', '31']) {
      assert.is((await refused(place.exportTo(elsewhere, { since: parseCursor(wrong) }))).code, 'log-replaced')
    }
    assert.is((await place.exportTo(elsewhere, { since })).events, 20)
  }))

test('an export of another log is not gone on with, nor one without its manifest', () =>
  withOnePlace(async (place, dir) => {
    await generateLog(place.server.url, 9)
    await place.exportTo(dir)
    await rm(join(dir, 'manifest.json'))
    assert.match((await refused(place.exportTo(dir))).message, /holds events\.ndjson, but no manifest\.json/)
    await rm(fileOf(dir))
    await place.exportTo(dir)
    await withAdministration(place.server.url, async (jsm) => {
      const { config } = await jsm.streams.info(place.broker.names.stream)
      await jsm.streams.delete(place.broker.names.stream)
      await jsm.streams.add(config)
    })
    await generateLog(place.server.url, 30)
    assert.is((await refused(place.exportTo(dir))).code, 'log-replaced')
    assert.is((await linesOf(dir)).length, 9)
  }))

test('where nothing is in the log, or nothing can be written, it says so', () =>
  withOnePlace(async (place, dir) => {
    const nothing = await place.exportTo(dir)
    assert.equal([nothing.events, nothing.first, nothing.last], [0, null, null])
    assert.equal((await place.importFrom(dir)).events, 0)
    await writeFile(`${dir}-file`, '')
    const error = await refused(place.exportTo(`${dir}-file`))
    assert.is(error.code, 'storage-unavailable')
    assert.match(error.message, /^cannot write .*-file: /)
    const missing = await refused(place.importFrom(`${dir}-nowhere`))
    assert.match(missing.message, /there is no manifest\.json in it/)
    await mkdir(join(`${dir}-other`, 'manifest.json'), { recursive: true })
    assert.is((await refused(place.exportTo(`${dir}-other`))).code, 'storage-unavailable')
  }))

test('images come along, those that are not to be had are counted, and a folder that has them gets the new ones', () =>
  withOnePlace(async (place, dir) => {
    await appendCompleted(place, await put(place, 'one'))
    assert.is((await place.exportTo(dir)).images, null)
    assert.equal((await place.exportTo(dir, { withImages: true })).images, { copied: 1, missing: 0 })
    const lost = await put(place, 'two')
    await place.images.remove(lost)
    await appendCompleted(place, lost)
    await appendCompleted(place, await put(place, 'three'))
    assert.equal((await place.exportTo(dir)).images, { copied: 2, missing: 1 })
    const names = (await readdir(join(dir, 'images'), { recursive: true })).filter((name) => name.endsWith('.png'))
    assert.is(names.length, 2)
  }))

test.run()
