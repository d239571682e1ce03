import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { eq } from 'drizzle-orm'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { NewEvent } from '../../events/events.ts'
import { identify } from '../../services/platform/identity.ts'
import { migrateDatabase } from '../../services/platform/migrate.ts'
import { checkpoint, fractal } from '../../services/platform/schema.ts'
import { pause } from '../../services/platform/shutdown.ts'
import { rebuild } from '../../services/projector/rebuild.ts'
import type { Finding } from '../../services/replay/findings.ts'
import { type VerifyOptions, verify } from '../../services/replay/verify.ts'
import { fileStore } from '../../services/storage/file-store.ts'
import { createRenderPool, type RenderPool } from '../../services/worker/render-pool.ts'
import { cancelled } from '../projector/held-events.ts'
import { type Projection, requested, withProjection } from '../projector/with-projection.ts'
import { withPostgres } from '../support/database.ts'
import { params } from '../support/legal-history.ts'
import { appendLegalHistories } from '../support/legal-log.ts'
import { withTempDir } from '../support/temp.ts'
import { writeRaw } from '../support/write-raw.ts'
import { whileBuilt } from './clinic.ts'

const signal = new AbortController().signal

type Place = Projection & {
  imagesDir: string
  /** A fractal whose life is in the log and whose image is in storage. */
  complete(): Promise<string>
  verify(options?: Partial<VerifyOptions>): ReturnType<typeof verify>
}

const withPlace = (use: (place: Place) => Promise<void>) =>
  withTempDir((imagesDir) =>
    withProjection(withPostgres, async (p) => {
      const pool = createRenderPool(1)
      const images = fileStore(imagesDir)
      try {
        await use({
          ...p,
          imagesDir,
          complete: () => completeOne(p, pool, images),
          verify: (options = {}) =>
            verify(p.parts, { images, render: pool.render, pictures: Number.POSITIVE_INFINITY, signal, ...options }),
        })
      } finally {
        await pool.close()
      }
    }),
  )

async function completeOne(p: Projection, pool: RenderPool, images: ReturnType<typeof fileStore>): Promise<string> {
  const uuid = v4()
  const rendering = await pool.render({ uuid, params }, signal)
  const { key, size } = await images.put(rendering.chunks)
  const image = { checksum: key, imageKey: key, pixelChecksum: rendering.pixelChecksum(), size }
  const made = { generation: 1, started: 1, duration: 0.1, generatedBy: 'test', kernelVersion: 'test' }
  await p.append(
    requested(uuid),
    { type: 'TaskStarted', fractal: uuid, data: { generation: 1, entry: 1, worker: 'test', isolated: false } },
    { type: 'TaskCompleted', fractal: uuid, data: { ...made, ...image } },
  )
  return uuid
}

const brief = ({ findings }: { findings: Finding[] }) => findings.map(({ kind, uuid }) => [kind, uuid])

test('however much came after deletions, an event that is out of place is found', () =>
  withPlace(async (p) => {
    const uuids = Array.from({ length: 1_100 }, () => v4())
    const append = async (...events: NewEvent[]) => {
      for (let i = 0; i < events.length; i += 50) {
        const some = events.slice(i, i + 50).map((event) => identify(event, '/test'))
        await Promise.all(some.map((event) => p.parts.log.append(event, { withinMs: 60_000 })))
      }
    }
    const deleted = (fractal: string): NewEvent => ({ type: 'TaskDeleted', fractal, data: {} })
    const data = { generation: 1, entry: 1, worker: 'test', isolated: false }
    await append(...uuids.map((uuid) => requested(uuid)))
    await append(...uuids.map(cancelled))
    await append(...uuids.map(deleted))
    await append(...uuids.map((fractal): NewEvent => ({ type: 'TaskStarted', fractal, data })))
    const [first, second] = [requested(), requested()]
    await append(first)
    await append({ ...second, fractal: first.fractal, data: { ...second.data, generation: 3 } })
    p.start()
    await p.caughtUp()
    assert.equal(brief(await p.verify()), [['history-illegal', first.fractal]])
  }))

test('where all is well nothing is found, also while events keep coming', () =>
  withPlace(async (p) => {
    p.start()
    for (let n = 0; n < 3; n++) await p.complete()
    await p.caughtUp()
    const steps = new Set<string>()
    const { findings, ...rest } = await p.verify({ onProgress: ({ step }) => steps.add(step) })
    assert.equal(findings, [])
    assert.equal(rest, { seq: 9, fractals: 3, images: 3, drawn: 3 })
    assert.equal([...steps], ['log', 'images', 'pictures'])
    assert.is((await p.verify({ pictures: 2 })).drawn, 2)
    assert.is((await p.verify({ pictures: 0 })).drawn, 0)

    let done = false
    const busy = (async () => {
      while (!done) {
        const uuid = await p.complete()
        await p.append({ type: 'TaskDeleted', fractal: uuid, data: {} }, requested())
      }
    })()
    for (let n = 0; n < 5; n++) assert.equal((await p.verify({ pictures: 1 })).findings, [])
    done = true
    await busy
  }))

test('a projector that is far behind is no difference', () =>
  withPlace(async (p) => {
    const projector = p.start()
    const uuid = await p.complete()
    await p.caughtUp()
    await projector.stop()
    await p.append({ type: 'TaskDeleted', fractal: uuid, data: {} }, requested())
    await p.complete()
    const [finding, ...others] = (await p.verify({ pictures: 0 })).findings
    assert.equal([finding?.kind, others], ['unverified', []])
    assert.match(finding?.problem ?? '', /^the table stands still at event 3 of 8: .* were not looked at$/)
  }))

test('a table that is on its way to the end of the log is waited for, also where it is built anew', () =>
  withPlace(async (p) => {
    const { db } = p.parts
    const uuids = [await p.complete(), await p.complete()]
    await migrateDatabase(db)
    await whileBuilt(db, async () => {
      let isOver = false
      const verifying = p.verify().finally(() => {
        isOver = true
      })
      await pause(8_000)
      assert.not(isOver)
      p.start()
      assert.equal(await verifying, { seq: 6, fractals: 2, images: 2, drawn: 2, findings: [] })
    })
    await rm(p.imagesDir, { recursive: true })
    assert.equal(new Set((await p.verify()).findings.map(({ uuid }) => uuid)), new Set(uuids))
  }))

test('whatever rules of the log allow raises no objection', () =>
  withPlace(async (p) => {
    p.start()
    await appendLegalHistories(p.parts.log, { seed: Math.floor(Math.random() * 2 ** 31), count: 60 })
    await p.caughtUp()
    const { findings } = await p.verify({ pictures: 0 })
    assert.equal(
      findings.filter(({ kind }) => !kind.startsWith('image')),
      [],
    )
  }))

test('rows that were changed, lost or invented are named, with what is wrong; the command that is said mends them', () =>
  withPlace(async (p) => {
    const projector = p.start()
    const [changed, lost, invented] = [await p.complete(), await p.complete(), v4()]
    await p.caughtUp()
    await projector.stop()
    const { db } = p.parts
    const [row] = await db.select().from(fractal).where(eq(fractal.uuid, lost))
    if (!row) throw new Error('it was projected')
    await db.update(fractal).set({ width: 65, status: 'failed' }).where(eq(fractal.uuid, changed))
    await db.delete(fractal).where(eq(fractal.uuid, lost))
    await db.insert(fractal).values({ ...row, uuid: invented, status: 'failed' })
    const found = await p.verify()
    assert.equal(
      new Set(brief(found).map(String)),
      new Set([`row-differs,${changed}`, `row-missing,${lost}`, `row-extra,${invented}`]),
    )
    const difference = found.findings.find(({ kind }) => kind === 'row-differs')
    assert.is(difference?.problem, 'width is 65 instead of 64, status is "failed" instead of "completed"')
    for (const { remedy } of found.findings) assert.is(remedy, 'faafo replay rebuild')
    await rebuild(p.parts, { signal })
    assert.equal((await p.verify()).findings, [])
  }))

test('an image that is gone, one that is damaged, and a picture that cannot be drawn again', () =>
  withPlace(async (p) => {
    const projector = p.start()
    const [gone, damaged, other] = [await p.complete(), await p.complete(), await p.complete()]
    await p.caughtUp()
    await projector.stop()
    const { db } = p.parts
    const keyOf = async (uuid: string) =>
      (await db.select().from(fractal).where(eq(fractal.uuid, uuid)))[0]?.imageKey ?? ''
    const file = async (uuid: string) => {
      const key = await keyOf(uuid)
      return join(p.imagesDir, key.slice(0, 2), `${key}.png`)
    }
    await rm(await file(gone))
    await writeFile(await file(damaged), 'not a picture')
    await db
      .update(fractal)
      .set({ pixelChecksum: 'c'.repeat(64) })
      .where(eq(fractal.uuid, other))
    const found = await p.verify()
    assert.equal(
      new Set(brief(found).map(String)),
      new Set([
        `image-missing,${gone}`,
        `image-damaged,${damaged}`,
        `row-differs,${other}`,
        `picture-differs,${other}`,
      ]),
    )
    await rm(await file(other))
    const [one, ...others] = (await p.verify({ pictures: 0 })).findings.filter(({ kind }) => kind === 'image-missing')
    assert.equal([one?.uuid, others.length], [gone, 1]) // one is damaged, so it is the right place
    const remedies = found.findings.filter(({ kind }) => kind.startsWith('image')).map(({ remedy }) => remedy)
    assert.equal(new Set(remedies), new Set([`faafo retry ${gone}`, `faafo retry ${damaged}`]))
  }))

test('a checkpoint that was moved is found', () =>
  withPlace(async (p) => {
    const projector = p.start()
    await p.complete()
    await p.caughtUp()
    await projector.stop()
    const { db } = p.parts
    const { seq, eventId } = await p.checkpoint()
    await db.update(checkpoint).set({ seq: 1, eventId: (await p.parts.log.at(1))?.id ?? '' })
    assert.equal(brief(await p.verify()), [['checkpoint-astray', null]])
    await db.update(checkpoint).set({ seq: seq + 7, eventId })
    const [finding] = (await p.verify()).findings
    assert.is(finding?.kind, 'checkpoint-astray')
    assert.match(finding?.problem ?? '', /its end was lost/)
    await rebuild(p.parts, { signal })
    assert.equal((await p.verify()).findings, [])
  }))

test('an event that cannot be there is named', () =>
  withPlace(async (p) => {
    p.start()
    const uuid = await p.complete()
    const stranger = v4()
    await writeRaw(p.server.url, { type: 'TaskCancelled', fractal: stranger, data: { generation: 1, reason: 'none' } })
    await writeRaw(p.server.url, { ...requested(uuid), data: { ...requested(uuid).data, generation: 3 } })
    const { findings } = await p.verify()
    assert.equal(
      findings.map(({ kind, uuid, cursor, problem }) => [kind, uuid, cursor?.split('-')[0], problem]),
      [
        ['history-illegal', stranger, '4', 'TaskCancelled of event 4 cannot follow: the fractal was never requested'],
        ['history-illegal', uuid, '5', 'TaskRequested of event 5 cannot follow: generation 3 was requested after 1'],
      ],
    )
  }))

for (const [what, attributes, problem] of [
  ['of a future version', { 'ce-schemaversion': '99' }, /cannot read event 1: TaskRequested version 99 is newer/],
  ['of an unknown type', { 'ce-type': 'TaskLost' }, /cannot read event 1: its type 'TaskLost' is unknown/],
] as const) {
  test(`an event ${what} is named`, () =>
    withPlace(async (p) => {
      await writeRaw(p.server.url, requested(), attributes)
      const [finding, ...others] = (await p.verify()).findings
      assert.equal([finding?.kind, finding?.cursor?.split('-')[0], others], ['event-unreadable', '1', []])
      assert.match(finding?.problem ?? '', problem)
    }))
}

test.run()
