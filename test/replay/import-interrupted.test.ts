import { Buffer } from 'node:buffer'
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { exportLog } from '../../services/replay/export.ts'
import { openStore } from '../../services/storage/open-store.ts'
import { identified, requested } from '../platform/with-log.ts'
import { generateLog } from '../support/generated-log.ts'
import { completed } from '../support/legal-history.ts'
import { appendLegalHistories } from '../support/legal-log.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { until } from '../support/until.ts'
import { folds, kept, type Place, withTwoPlaces } from './with-export.ts'

const seed = Math.floor(Math.random() * 2 ** 31)
console.log(`seed ${seed}`)

/** A broker that is too busy to answer has it asked again. */
const isAt = ({ log }: Place, seq: number): Promise<boolean> =>
  log.head().then(
    ({ lastSeq }) => lastSeq >= seq,
    () => false,
  )

test('an import interrupted at any moment goes on when it is done again', () =>
  withTwoPlaces(async (source, target, dir) => {
    await generateLog(source.server.url, 6_000)
    await source.exportTo(dir)
    const random = seededRandom(seed)
    for (let stops = 0; stops < 4; stops++) {
      const stop = new AbortController()
      const at = 1_000 + Math.floor(random() * 4_000)
      const importing = target.importFrom(dir, { signal: stop.signal }).catch((error) => error)
      let over = false
      void importing.then(() => {
        over = true
      })
      await until(async () => over || (await isAt(target, at)), { what: `${at} events are there`, everyMs: 0 })
      stop.abort()
      const ended = await importing
      if (ended instanceof Error) assert.ok(isFaafoError(ended, 'aborted'), String(ended))
    }
    const { appended, duplicates } = await target.importFrom(dir)
    assert.is(appended + duplicates, 6_000)
    assert.equal(await kept(target), await kept(source))
  }))

test('imports of one export at the same time, and a broker that is killed meanwhile, are no harm', () =>
  withTwoPlaces(async (source, target, dir) => {
    await generateLog(source.server.url, 6_000)
    await source.exportTo(dir)
    const importing = Promise.all([target.importFrom(dir), target.importFrom(dir)])
    importing.catch(() => {}) // thrown once it is awaited
    await until(() => isAt(target, 1_000), { what: '1,000 events are there', everyMs: 0 })
    await target.server.kill()
    await target.server.restart()
    for (const { events, appended, duplicates, conflicts } of await importing) {
      assert.equal([appended + duplicates, conflicts], [events, []])
    }
    const byFractal = async (place: Place) => {
      const messages = await kept(place)
      return messages.sort((a, b) => a.attributes['ce-subject']?.localeCompare(b.attributes['ce-subject'] ?? '') ?? 0)
    }
    assert.equal(await byFractal(target), await byFractal(source))
    assert.equal(
      new Map((await folds(target)) as [string, unknown][]),
      new Map((await folds(source)) as [string, unknown][]),
    )
  }))

test('a broker that is away when an import begins is waited for', () =>
  withTwoPlaces(async (source, target, dir) => {
    await appendLegalHistories(source.log, { seed, count: 10 })
    await source.exportTo(dir)
    const { appended } = await target.importFrom(dir)
    await target.server.kill()
    const importing = target.importFrom(dir)
    importing.catch(() => {}) // thrown once it is awaited
    const isAway = (error: unknown) => isFaafoError(error, 'log-unavailable')
    await until(() => target.log.head().then(() => false, isAway), { what: 'a read has failed' })
    await target.server.restart()
    assert.is((await importing).duplicates, appended)
  }))

for (const left of ['nothing', 'its beginning']) {
  test(`an import into a log of which ${left} is left meanwhile says so, and goes on when it is done again`, () =>
    withTwoPlaces(async (source, target, dir) => {
      const store = join(target.server.storeDir, 'jetstream')
      await generateLog(source.server.url, 300)
      await source.exportTo(dir)
      await target.importFrom(dir)
      await target.server.stop()
      if (left !== 'nothing') await cp(store, `${dir}-store`, { recursive: true })
      await target.server.restart()
      await generateLog(source.server.url, 6_000)
      await source.exportTo(dir)
      const importing = target.importFrom(dir).catch((error) => error)
      await until(() => isAt(target, 1_500), { what: '1,500 events are there', everyMs: 0 })
      await target.server.kill()
      await rm(store, { recursive: true })
      if (left !== 'nothing') await cp(`${dir}-store`, store, { recursive: true })
      await target.server.restart()
      const error = await importing
      assert.ok(isFaafoError(error, 'log-replaced'), JSON.stringify(error))
      assert.match(error.message, /the log was replaced, or lost its end; import again$/)
      const { appended, duplicates } = await target.importFrom(dir)
      assert.equal([appended, duplicates], left === 'nothing' ? [6_300, 0] : [6_000, 300])
      assert.equal(await kept(target), await kept(source))
    }))
}

test('images in a broker that is away for a moment are waited for, by an import and by an export', () =>
  withTwoPlaces(async (source, target, dir) => {
    for (let n = 0; n < 40; n++) {
      const { key: imageKey } = await source.images.put([Buffer.from(`picture ${n}`)])
      const { fractal } = (await source.log.append(requested())).event
      const { data } = completed(1)
      await source.log.append(identified({ type: 'TaskCompleted', fractal, data: { ...data, imageKey } }))
    }
    await source.exportTo(dir, { withImages: true })
    const { nc, names } = target.broker
    const store = openStore('nats-object:images', { nats: nc, bucketName: names.bucket })
    let left = 0
    const orAway = async <T>(work: () => Promise<T>): Promise<T> => {
      if (--left === 0) {
        await target.server.kill()
        void target.server.restart()
      }
      return work()
    }
    const images: Place['images'] = {
      ...store,
      put: (chunks, options) => orAway(() => store.put(chunks, options)),
      get: (key) => orAway(() => store.get(key)),
    }
    const all = { copied: 40, missing: 0 }
    left = 12
    assert.equal((await target.importFrom(dir, { images })).images, { ...all, damaged: [] })
    left = 12
    const again = { dir: `${dir}-again`, images, withImages: true, signal: new AbortController().signal }
    assert.equal((await exportLog(target, again)).images, all)
  }))

test.run()
