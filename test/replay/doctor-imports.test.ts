import { Buffer } from 'node:buffer'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { importIdOf, importKind } from '../../events/import.ts'
import { aggregatesOf } from '../../services/platform/aggregates.ts'
import { type ImportOptions, importLog } from '../../services/replay/import.ts'
import { identified, requested } from '../platform/with-log.ts'
import { completed } from '../support/legal-history.ts'
import { until } from '../support/until.ts'
import { withClinic } from './clinic.ts'
import { withOnePlace } from './with-export.ts'

test('an import that was given up is found, and one that goes on is not', () =>
  withOnePlace(async (source, dir) => {
    const { event } = await source.log.append(requested())
    const { key: imageKey } = await source.images.put([Buffer.from('one')])
    const { data } = completed(1)
    await source.log.append(identified({ type: 'TaskCompleted', fractal: event.fractal, data: { ...data, imageKey } }))
    await source.exportTo(dir, { withImages: true })
    const id = importIdOf((await source.log.head()).created)
    await withClinic(async (p) => {
      const { broker } = p.parts
      const found = async () => (await p.doctor()).findings.find(({ check }) => check === 'imports')
      const imports = aggregatesOf(broker, importKind)
      const isBegun = async () => (await imports.newest(id).catch(() => null))?.type === 'ImportBegun'
      const importing = (options: Partial<ImportOptions> = {}) =>
        importLog(broker, { dir, images: p.images, dryRun: false, signal: new AbortController().signal, ...options })
      assert.equal([(await found())?.severity, (await found())?.found], ['ok', 'none is unfinished'])

      await until(
        async () => {
          const stop = new AbortController()
          await importing({ signal: stop.signal, onProgress: () => stop.abort() }).catch(() => {})
          return isBegun()
        },
        { what: 'one is begun and given up' },
      )
      const given = await found()
      assert.is(given?.severity, 'warning')
      assert.match(given?.found ?? '', /^one that began at \S+ was given up: /)
      assert.match(given?.remedy ?? '', /: faafo replay import <folder>$/)

      let release = () => {}
      const held = new Promise<void>((done) => {
        release = done
      })
      const put: ImportOptions['images']['put'] = async (chunks) => {
        await held
        return p.images.put(chunks)
      }
      const again = importing({ images: { has: p.images.has, put } })
      await until(async () => (await found())?.severity === 'ok', { what: 'it is heard of' })
      assert.ok(await isBegun())
      release()
      await again
      assert.is((await found())?.found, 'none is unfinished')
    })
  }))

test.run()
