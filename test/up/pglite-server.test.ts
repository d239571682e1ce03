import { Buffer } from 'node:buffer'
import { join } from 'node:path'
import postgres from 'postgres'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startPgliteServer } from '../../services/up/pglite-server.ts'
import { message, query, SYNC } from '../../services/up/postgres-wire.ts'
import { withClient } from '../support/database.ts'
import { until } from '../support/until.ts'
import { bind, EXECUTE, firstValue, parse, sqlStateOf, typesOf, wireClient } from '../support/wire-client.ts'
import { startSharedServer } from './shared-server.ts'

const { server, url, dir, remove } = await startSharedServer()
const FLUSH = message('H')

/** Gives `use` a client with `max` connections, and ends it. */
async function withPool(max: number, use: (sql: postgres.Sql) => Promise<void>): Promise<void> {
  const sql = postgres(url, { max, onnotice: () => undefined })
  try {
    await use(sql)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

test('transactions and concurrent readers never meet each other’s rows', () =>
  withPool(4, async (writers) => {
    await writers`create table pairs (id int primary key, a int not null, b int not null)`
    await writers`insert into pairs select i, 0, 0 from generate_series(1, 20) i`
    await withPool(8, async (readers) => {
      let writing = true
      let reads = 0
      const write = async (writer: number) => {
        for (let i = 1; i <= 100; i++) {
          const value = writer * 1_000 + i
          await writers.begin(async (tx) => {
            await tx`update pairs set a = ${value}`
            const [own] = await tx`select distinct a from pairs`
            assert.is(own?.a, value)
            await tx`update pairs set b = ${value}`
          })
        }
      }
      const read = async (reader: number) => {
        for (let i = 0; writing || i < 300; i++) {
          const tag = reader * 1_000_000 + i
          const rows = await readers`select ${tag}::int as tag, a, b from pairs where id <= ${(i % 20) + 1}`
          assert.is(rows.length, (i % 20) + 1)
          assert.ok(rows.every((row) => row.tag === tag && row.a === row.b && row.a === rows[0]?.a))
          reads++
        }
      }
      const reading = Promise.all(Array.from({ length: 8 }, (_, i) => read(i)))
      await Promise.all(Array.from({ length: 4 }, (_, i) => write(i)))
      writing = false
      await reading
      assert.ok(reads >= 2_400)
    })
  }))

test('what a client left uncommitted when it was lost is rolled back', () =>
  withClient(url, async (sql) => {
    await sql`create table lost (id int)`
    const client = await wireClient(server.port)
    assert.is(typesOf(await client.ask(query('begin; insert into lost values (1)'))), 'CCZ')
    client.socket.resetAndDestroy()
    assert.is((await sql`select * from lost`).length, 0)
  }))

test('what a client left between Parse and Sync when it was lost does not disturb the next', () =>
  withClient(url, async (sql) => {
    const client = await wireClient(server.port)
    client.socket.write(Buffer.concat([parse('', 'select nonsense'), bind(''), EXECUTE, FLUSH]))
    await until(() => client.received().some(({ type }) => type === 'E'), { what: 'the error' })
    client.socket.destroy()
    assert.equal([...(await sql`select 1 as one`)], [{ one: 1 }])
  }))

test('a transaction that is idle is rolled back, and its connection is ended with the reason', () =>
  withClient(url, async (sql) => {
    await sql`create table idle (id int)`
    const client = await wireClient(server.port)
    await client.ask(query('begin; insert into idle values (1)'))
    assert.is((await sql`select * from idle`).length, 0)
    await until(() => client.closed(), { what: 'the idle connection is ended' })
    assert.is(sqlStateOf(client.received()), '25P03')
  }))

test('a connection that waits too long for its turn is told so', async () => {
  const holder = await wireClient(server.port)
  await holder.ask(query('begin'))
  const waiter = await wireClient(server.port)
  const answer = waiter.ask(query('select 1'))
  // The holder is never idle for long, and never done.
  while (!waiter.closed()) await holder.ask(query('select pg_sleep(0.05)'))
  assert.is(sqlStateOf(await answer), '55P03')
  holder.socket.destroy()
})

test('the prepared statements of a lost connection are closed', () =>
  withClient(url, async (sql) => {
    const client = await wireClient(server.port)
    assert.is(typesOf(await client.ask(parse('mine', 'select 41'), SYNC)), '1Z')
    const kept = () => sql`select name from pg_prepared_statements where statement = 'select 41'`
    assert.is((await kept()).length, 1)
    client.socket.destroy()
    await until(async () => (await kept()).length === 0, { what: 'the statement is closed' })
  }))

test('two connections may give one name to different statements', async () => {
  const [one, two] = [await wireClient(server.port), await wireClient(server.port)]
  await one.ask(parse('s', `select 'one'`), SYNC)
  await two.ask(parse('s', `select 'two'`), SYNC)
  assert.is(firstValue(await one.ask(bind('s'), EXECUTE, SYNC)), 'one')
  assert.is(firstValue(await two.ask(bind('s'), EXECUTE, SYNC)), 'two')
  await two.ask(message('C', 'Ss'), SYNC)
  assert.is(firstValue(await one.ask(bind('s'), EXECUTE, SYNC)), 'one')
  assert.is(sqlStateOf(await two.ask(bind('s'), EXECUTE, SYNC)), '26000')
  for (const client of [one, two]) client.socket.destroy()
})

test('the unnamed statement of another connection is never run in place of one’s own', async () => {
  const [one, two] = [await wireClient(server.port), await wireClient(server.port)]
  await one.ask(parse('', `select 'one'`), SYNC)
  await two.ask(parse('', `select 'two'`), SYNC)
  assert.is(sqlStateOf(await one.ask(bind(''), EXECUTE, SYNC)), '26000')
  assert.is(firstValue(await two.ask(bind(''), EXECUTE, SYNC)), 'two')
  for (const client of [one, two]) client.socket.destroy()
})

test('what a connection has set is reset when it ends', () =>
  withClient(url, async (sql) => {
    const client = await wireClient(server.port)
    await client.ask(query(`set search_path = ''`))
    client.socket.destroy()
    const path = async () => (await sql`show search_path`)[0]?.search_path
    await until(async () => (await path()) === 'public', { what: 'the search path is back' })
  }))

test('a reader that does not read keeps nobody waiting', async () => {
  const client = await wireClient(server.port)
  client.socket.pause()
  client.socket.write(query(`select repeat('x', 1000) from generate_series(1, 30000)`))
  await withClient(url, async (sql) => {
    for (let i = 0; i < 20; i++) assert.is((await sql`select ${i}::int as i`)[0]?.i, i)
  })
  client.socket.resume()
  await until(() => typesOf(client.received()).endsWith('Z'), { what: 'the slow reader has it all' })
  assert.is(client.received().filter(({ type }) => type === 'D').length, 30_000)
  client.socket.destroy()
})

test('a port in use is said', async () => {
  const another = { dataDir: join(dir, 'another'), port: server.port }
  const error = await startPgliteServer(another).catch((reason) => reason)
  assert.is(error.code, 'port-taken')
})

test('the server closes while connections are open, and everything committed is there again', async () => {
  const client = await wireClient(server.port)
  await client.ask(query('begin; create table never (id int)'))
  await server.close()
  await until(() => client.closed(), { what: 'the connection is ended' })
  const again = await startPgliteServer({ dataDir: join(dir, 'database'), port: 0 })
  try {
    assert.is(again.setAside, null)
    await withClient(`postgres://postgres@127.0.0.1:${again.port}/postgres`, async (sql) => {
      const tables = await sql`select tablename from pg_tables where schemaname = 'public'`
      const names = tables.map((row) => row.tablename)
      assert.ok(names.includes('pairs') && !names.includes('never'))
    })
  } finally {
    await again.close()
    await remove()
  }
})

test.run()
