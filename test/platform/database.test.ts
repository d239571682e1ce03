import { Buffer } from 'node:buffer'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import process from 'node:process'
import { type SQL, sql } from 'drizzle-orm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { arrayText, openDatabase, querying } from '../../services/platform/database.ts'
import { withPostgres } from '../support/database.ts'
import { freeze } from '../support/freeze.ts'

const MAX = 3

test('connections that went silent are given up with all that waits for them, and others take their place', () =>
  withPostgres(async ({ url }) => {
    const { db, close } = openDatabase(url, { max: MAX, name: 'test', mostSilenceMs: 3_000 })
    const pidOf = async () => {
      const [row] = await querying('ask', () =>
        db.execute<{ pid: number; at: string }>(
          sql`select pg_backend_pid() as pid, ${new Date(0).toISOString()}::timestamptz as at from pg_sleep(0.1)`,
        ),
      )
      return row?.pid ?? 0
    }
    const pids = new Set(await Promise.all(Array.from({ length: MAX }, pidOf)))
    assert.is(pids.size, MAX)
    await Promise.all([...pids].map(freeze))
    try {
      const silent = await Promise.all(Array.from({ length: 3 * MAX }, () => pidOf().catch((thrown) => thrown)))
      for (const error of silent) {
        assert.ok(isFaafoError(error, 'database-unavailable'))
        assert.is(error.details.reason, 'the database does not answer')
      }
      assert.not.ok(pids.has(await pidOf()))
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGCONT')
      await close()
    }
  }))

test('a statement that is answered in time keeps its connection', () =>
  withPostgres(async ({ url }) => {
    const { db, close } = openDatabase(url, { max: 1, name: 'test', mostSilenceMs: 3_000 })
    try {
      const pids = new Set<unknown>()
      for (let i = 0; i < 4; i++) {
        const [row] = await db.execute(sql`select pg_backend_pid() as pid from pg_sleep(1)`)
        pids.add(row?.pid)
      }
      assert.is(pids.size, 1)
    } finally {
      await close()
    }
  }))

test('a database that lets in, and then goes away or falls silent, fails the statement and nothing else', async () => {
  const READY = Buffer.from('5200000008000000005a0000000549', 'hex') // AuthenticationOk, ReadyForQuery
  const falls: ((socket: Socket) => void)[] = [(socket) => socket.resetAndDestroy(), () => {}]
  for (const fall of falls) {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => {
        socket.write(READY)
        socket.once('data', () => fall(socket))
      })
    })
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const { port } = server.address() as AddressInfo
    const { db, close } = openDatabase(`postgres://u@127.0.0.1:${port}/d`, { max: 1, name: 'test', mostSilenceMs: 500 })
    try {
      const error = await querying('ask', () => db.execute(sql`select 1`)).catch((thrown) => thrown)
      assert.ok(isFaafoError(error, 'database-unavailable'), String(error))
    } finally {
      await close()
      server.close()
    }
  }
})

test('arrays come to the database as they are', () =>
  withPostgres(async ({ url }) => {
    const { db, close } = openDatabase(url, { max: 1, name: 'test' })
    try {
      const texts = ['', 'plain', 'a,b', '{"x"}', 'back\\slash', 'NULL', ' \n ']
      const back = async (array: SQL) =>
        (await db.execute<{ value: unknown }>(sql`select unnest(${array}) as value`)).map(({ value }) => value)
      assert.equal(await back(sql`${arrayText(texts)}::text[]`), texts)
      assert.equal(await back(sql`${arrayText([1, 2])}::int[]`), [1, 2])
    } finally {
      await close()
    }
  }))

test.run()
