import { utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseCursor } from '../../events/cursor.ts'
import { parkedIdOf } from '../../events/parked.ts'
import { fractal } from '../../services/platform/schema.ts'
import { patiently } from '../../services/replay/doctor/patient.ts'
import { dropEvent, parkEvent } from '../../services/replay/park-events.ts'
import type { ImageStore } from '../../services/storage/image-store.ts'
import { createRenderPool } from '../../services/worker/render-pool.ts'
import { withAdministration } from '../platform/with-log.ts'
import { params } from '../support/legal-history.ts'
import { NEWER } from '../support/newer-program.ts'
import { writeRaw } from '../support/write-raw.ts'
import { type Clinic, withClinic } from './clinic.ts'

const { signal } = new AbortController()

/** The pictures of these fractals, in storage and in no event. */
async function draw({ images }: Clinic, ...uuids: string[]): Promise<string[]> {
  const pool = createRenderPool(1)
  const keys: string[] = []
  for (const uuid of uuids) {
    const rendering = await pool.render({ uuid, params }, signal)
    keys.push((await images.put(rendering.chunks)).key)
  }
  await pool.close()
  return keys
}

const age = ({ imagesDir }: Clinic, key: string, hours: number) => {
  const then = new Date(Date.now() - hours * 3_600_000)
  return utimes(join(imagesDir, key.slice(0, 2), `${key}.png`), then, then)
}

async function stored({ images }: Clinic): Promise<Set<string>> {
  const keys = new Set<string>()
  for await (const { key } of images.list()) keys.add(key)
  return keys
}

const keyOf = async (p: Clinic, uuid: string): Promise<string> => {
  const outcome = await patiently(() => p.parts.log.read(p.parts.broker.names.outcome(uuid, 1)))
  return outcome?.type === 'TaskCompleted' ? outcome.data.imageKey : ''
}

/** A system with two pictures that it shows, and one of a fractal that was deleted; all of them old. */
const withPictures = (use: (p: Clinic, keys: { shown: string[]; deleted: string }) => Promise<void>) =>
  withClinic(async (p) => {
    p.start()
    p.startWorker()
    const uuids = [await p.request(), await p.request(), await p.request()]
    for (const uuid of uuids) await p.completed(uuid)
    await p.append({ type: 'TaskDeleted', fractal: uuids[2] ?? '', data: {} })
    const keys = await Promise.all(uuids.map((uuid) => keyOf(p, uuid)))
    for (const key of keys) await age(p, key, 2)
    await p.caughtUp()
    await p.healthy()
    await use(p, { shown: keys.slice(0, 2), deleted: keys[2] ?? '' })
  })

test('bytes that no fractal has are swept once they are an hour old, and nothing else is', () =>
  withPictures(async (p, { shown, deleted }) => {
    const { key: nameless } = await p.images.put([new Uint8Array(1_000)])
    const { key: young } = await p.images.put([new Uint8Array(2_000)])
    const [unrecorded = '', stranger = ''] = await draw(p, await p.request(), v4())
    for (const key of [nameless, unrecorded, stranger]) await age(p, key, 2)
    await p.caughtUp()
    assert.equal(await p.ailing(), [], 'without being asked nobody looks')

    const [finding, ...others] = await p.ailing({ images: true })
    assert.equal([finding?.check, finding?.severity, others], ['orphan-images', 'warning', []])
    assert.match(
      finding?.found ?? '',
      /^[23] of \d images .* are of no fractal; 1 of \d images are of fractals that this log/,
    )
    const before = await stored(p)
    await p.doctor({ images: true, mend: 'dry-run' })
    assert.equal(await stored(p), before)

    if (finding) assert.is((await p.carryOut(finding)).code, 0)
    const left = await stored(p)
    for (const key of [...shown, young, stranger]) assert.ok(left.has(key), key)
    for (const key of [nameless, deleted]) assert.not.ok(left.has(key), key)
    const [rest, ...more] = await p.ailing({ images: true })
    assert.equal([rest?.check, more], ['orphan-images', []])
    assert.match(rest?.found ?? '', /^1 of \d images are of fractals that this log does not know$/)
  }))

test('an image that is put again while it is swept stays', () =>
  withPictures(async (p) => {
    const bytes = [new Uint8Array(1_000)]
    const { key } = await p.images.put(bytes)
    await age(p, key, 2)
    const images: ImageStore = {
      ...p.images,
      async remove(...args) {
        await p.images.put(bytes)
        await p.images.remove(...args)
      },
    }
    const { mended } = await p.doctor({ images: true, mend: true }, { images })
    assert.is(mended.length, 1)
    assert.ok(await p.images.has(key))
  }))

test('an image that only the log names stays: the table may be wrong', () =>
  withPictures(async (p, { shown }) => {
    await p.parts.db.update(fractal).set({ checksum: null, imageKey: null })
    await p.doctor({ images: true, mend: true })
    const left = await stored(p)
    for (const key of shown) assert.ok(left.has(key))
  }))

test('an event that nobody can read keeps images from being swept until it is dropped', () =>
  withPictures(async (p) => {
    const { key } = await p.images.put([new Uint8Array(1_000)])
    await age(p, key, 2)
    const cancelled = {
      type: 'TaskCancelled',
      fractal: await p.request(),
      data: { generation: 1, reason: 'no' },
    } as const
    const cursor = parseCursor(parkedIdOf(await writeRaw(p.server.url, cancelled, NEWER)))
    await parkEvent(p.parts, cursor)
    await p.caughtUp()
    const orphans = async () => {
      const { findings } = await p.doctor({ images: true, mend: true })
      return findings.find(({ check }) => check === 'orphan-images')?.found ?? ''
    }
    assert.match(await orphans(), /it could not be looked at/)
    assert.ok(await p.images.has(key))
    await dropEvent(p.parts, cursor)
    await p.caughtUp()
    assert.match(await orphans(), /^none older than an hour/)
    assert.not.ok(await p.images.has(key))
  }))

test('beside a log that was lost no image is an orphan, and the doctor comes to an end', () =>
  withPictures(async (p) => {
    const { key } = await p.images.put([new Uint8Array(1_000)])
    await age(p, key, 2)
    await withAdministration(p.server.url, async (jsm) => {
      const { config } = await jsm.streams.info('FRACTAL')
      await jsm.streams.delete('FRACTAL')
      await jsm.streams.add(config)
    })
    const { findings, mended } = await p.doctor({ images: true, mend: true })
    const found = findings.find(({ check }) => check === 'orphan-images')
    assert.equal([found?.severity, mended.filter(({ check }) => check === 'orphan-images')], ['skipped', []])
    assert.match(found?.found ?? '', /this is not the log that the table was made from/)
    assert.ok(await p.images.has(key))
  }))

test('a storage that is not the one of the workers is told, and never swept', () =>
  withPictures(async (p) => {
    const { key } = await p.images.put([new Uint8Array(1_000)])
    await age(p, key, 2)
    const images = { ...p.images, has: async () => false }
    const { findings, mended } = await p.doctor({ images: true, mend: true }, { images })
    const storage = findings.find(({ check }) => check === 'storage')
    assert.equal([storage?.severity, storage?.found], ['wrong', 'none of the 2 newest images is there'])
    assert.match(mended[0]?.error ?? '', /^cannot remove images: none of the 2 newest images is there$/)
    assert.ok(await p.images.has(key))
  }))

test.run()
