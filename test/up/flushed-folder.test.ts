import { fsyncSync } from 'node:fs'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openDatabase } from '../../services/up/embedded-database.ts'
import { flushedFolder, flushingParams } from '../../services/up/flushed-folder.ts'
import { copyEmptyPglite } from '../support/database.ts'
import { withTempDir } from '../support/temp.ts'

test('every commit of the embedded database is flushed to the disk, and so are its pages at a checkpoint', () =>
  withTempDir(async (dir) => {
    const folder = join(dir, 'database')
    await copyEmptyPglite(folder)
    let flushes = 0
    const sync = (descriptor: number) => {
      fsyncSync(descriptor)
      flushes++
    }
    const startParams = flushingParams(PGlite.defaultStartParams)
    const database = await PGlite.create({ fs: flushedFolder(folder, sync), startParams })
    const flushesOf = async (statement: string) => {
      const before = flushes
      await database.exec(statement)
      return flushes - before
    }
    try {
      assert.ok((await flushesOf('create table written (id int)')) > 0)
      for (let i = 0; i < 3; i++) assert.ok((await flushesOf(`insert into written values (${i})`)) > 0)
      assert.is(await flushesOf('select * from written'), 0)
      assert.ok((await flushesOf('checkpoint')) > 2)
    } finally {
      await database.close()
    }
  }))

test('the embedded database is opened so that it flushes', () =>
  withTempDir(async (dir) => {
    const folder = join(dir, 'database')
    await copyEmptyPglite(folder)
    const { database } = await openDatabase(folder)
    try {
      const { rows } = await database.query(
        `select name, setting from pg_settings where name in ('fsync', 'synchronous_commit', 'wal_sync_method') order by name`,
      )
      assert.equal(rows, [
        { name: 'fsync', setting: 'on' },
        { name: 'synchronous_commit', setting: 'on' },
        { name: 'wal_sync_method', setting: 'fsync' },
      ])
    } finally {
      await database.close()
    }
  }))

test.run()
