import { sql } from 'drizzle-orm'
import { v4 } from 'uuid'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import type { NewEvent } from '../../events/events.ts'
import { type BulkLoader, openBulkLoader } from '../../services/platform/bulk-loader.ts'
import { NO_ROWS } from '../../services/platform/copy-rows.ts'
import { type LogPosition, startOfLog } from '../../services/platform/log-reader.ts'
import { migrateDatabase } from '../../services/platform/migrate.ts'
import { liveModel } from '../../services/platform/read-model.ts'
import { checkpoint, fractal, fractalVersion, heldEvent } from '../../services/platform/schema.ts'
import { pause } from '../../services/platform/shutdown.ts'
import { bulkFold } from '../../services/projector/bulk-fold.ts'
import { openCheckpoint } from '../../services/projector/checkpoint.ts'
import { foldLog } from '../../services/projector/fold-log.ts'
import { rebuild } from '../../services/projector/rebuild.ts'
import { compareWithLog } from '../support/compare-with-log.ts'
import { withPglite } from '../support/database.ts'
import { appendLegalHistories } from '../support/legal-log.ts'
import { type Projection, requested, withProjection } from './with-projection.ts'
import { signal, withTable } from './with-table.ts'

/** Folds the log into the served tables, as if nobody read them; what is loaded comes late. */
async function foldInBulk(
  { parts }: Projection,
  { kept, batchSize, atOnce }: { kept: number; batchSize: number; atOnce: number },
) {
  const { lastSeq } = await parts.log.head()
  await migrateDatabase(parts.db)
  const loader = await openBulkLoader(parts.db, parts.logger)
  if (!loader) throw new Error('PostgreSQL takes COPY')
  try {
    const { epoch } = await openCheckpoint(parts.db)
    const copy = { model: liveModel, epoch }
    const behind: BulkLoader = { ...loader, load: (loading) => pause(2).then(() => loader.load(loading)) }
    const { prepare, settle, finish } = bulkFold(parts.db, copy, behind, { kept, atOnce })
    let position = startOfLog
    const onProgress = (reached: LogPosition) => {
      position = reached
    }
    await foldLog(parts, { signal, copy, until: lastSeq, batchSize, prepare, settle, onProgress })
    await finish(position)
  } finally {
    await loader.close()
  }
}

test('rows that are loaded are the fold of the log, however few fractals are kept in memory and however small batches are', () =>
  withTable(async (p) => {
    await appendLegalHistories(p.parts.log, { seed: 12, count: 30 })
    for (const kept of [0, 1, 5, 1_000]) {
      for (const [batchSize, atOnce] of [
        [1, 1],
        [3, 10],
        [50, 1],
        [7, 10_000],
      ] as const) {
        await foldInBulk(p, { kept, batchSize, atOnce })
        const { seq, differences } = await compareWithLog(p.parts)
        assert.equal(
          [seq, differences],
          [(await p.parts.log.head()).lastSeq, []],
          `${kept} kept, batches of ${batchSize}, ${atOnce} at once`,
        )
        for (const table of [fractal, fractalVersion, heldEvent, checkpoint]) await p.parts.db.delete(table)
      }
    }
  }))

test('whatever a text says comes into the tables as it is', () =>
  withTable(async (p) => {
    const texts = ['\\N', '\\.', 'a\tb', 'a\r\nb\n', 'C:\\new', '"\'', '', ' ', '\u{1F600} \u00e9', '\b\v\f']
    for (const message of texts) {
      const uuid = v4()
      const failed: NewEvent = {
        type: 'TaskFailed',
        fractal: uuid,
        data: { generation: 1, error: { code: 'x', message }, attempts: 0, version: '1' },
      }
      await p.append(requested(uuid), failed)
    }
    await foldInBulk(p, { kept: 2, batchSize: 5, atOnce: 7 })
    assert.equal((await compareWithLog(p.parts)).differences, [])
    const rows = await p.parts.db.select({ message: fractal.errorMessage }).from(fractal).orderBy(fractal.firstSeq)
    assert.equal(
      rows.map(({ message }) => message),
      texts,
    )
  }))

test('a rebuild that meets an event that cannot be stored names it', () =>
  withTable(async (p) => {
    const { data } = requested()
    const broken: NewEvent = { ...requested(), data: { ...data, params: { ...data.params, width: 2 ** 40 } } }
    await p.append(requested(), broken, requested())
    const error = await rebuild(p.parts, { signal }).catch((error) => error)
    assert.ok(isFaafoError(error, 'undecodable-event'), String(error))
    assert.match(error.message, /^cannot store event 2: .*faafo replay park event 2-/)
  }))

test('a connection that is lost while rows are loaded is told as a database that is away', () =>
  withTable(async (p) => {
    await migrateDatabase(p.parts.db)
    const loader = await openBulkLoader(p.parts.db, p.parts.logger)
    if (!loader) throw new Error('PostgreSQL takes COPY')
    await p.parts.db.execute(
      sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'test' and datname = current_database() and pid <> pg_backend_pid()`,
    )
    const error = await loader
      .load({ tables: [], fence: sql`delete from ${checkpoint}`, into: fractalVersion, rows: NO_ROWS, afterwards: [] })
      .catch((error) => error)
    assert.ok(isFaafoError(error, 'database-unavailable') || /^57P0/.test(error.code), String(error))
    await loader.close()
  }))

test('the embedded database, which takes no COPY, gives no loader', () =>
  withProjection(withPglite, async ({ parts }) => {
    await migrateDatabase(parts.db)
    assert.is(await openBulkLoader(parts.db, parts.logger), null)
  }))

test.run()
