import { Buffer } from 'node:buffer'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { message, query, SYNC } from '../../services/up/postgres-wire.ts'
import { withClient } from '../support/database.ts'
import { until } from '../support/until.ts'
import {
  bind,
  EXECUTE,
  firstValue,
  parse,
  sqlStateOf,
  startupPacket,
  typesOf,
  wireClient,
  wireConnection,
} from '../support/wire-client.ts'
import { startSharedServer } from './shared-server.ts'

const run = promisify(execFile)

const { server, url, remove } = await startSharedServer()

test('pipelined messages are answered in order, an error skipping to the next Sync', async () => {
  const client = await wireClient(server.port)
  const good = (value: string) => [parse('', `select '${value}'`), bind(''), EXECUTE, SYNC]
  const bad = [parse('', 'select 1 / 0'), bind(''), EXECUTE, parse('', 'select 2'), bind(''), EXECUTE, SYNC]
  client.socket.write(Buffer.concat([...good('a'), ...bad, ...good('b')]))
  await until(() => typesOf(client.received()).split('Z').length === 4, { what: 'three answers' })
  assert.is(typesOf(client.received()), '12DCZ1EZ12DCZ')
  client.socket.destroy()
})

test('messages may come in pieces of one byte', async () => {
  const client = await wireClient(server.port)
  for (const byte of Buffer.concat([parse('', `select 'whole'`), bind(''), EXECUTE])) {
    client.socket.write(Buffer.of(byte))
    await new Promise((done) => setImmediate(done))
  }
  assert.is(firstValue(await client.ask(SYNC)), 'whole')
  client.socket.destroy()
})

test('big messages pass both ways', () =>
  withClient(url, async (sql) => {
    const big = 'ü'.repeat(4_000_000)
    const [row] = await sql`select ${big}::text as big, length(${big}) as size`
    assert.ok(row?.big === big)
    assert.is(row?.size, big.length)
  }))

test('rows can be read through a cursor', () =>
  withClient(url, async (sql) => {
    const sizes: number[] = []
    await sql`select generate_series(1, 250)`.cursor(100, (rows) => {
      sizes.push(rows.length)
    })
    assert.equal(sizes, [100, 100, 50])
  }))

test('COPY to the client works, COPY from it is refused and harms nobody', async () => {
  const client = await wireClient(server.port)
  await client.ask(query('create table copied (id int); insert into copied values (1), (2)'))
  assert.is(typesOf(await client.ask(query('copy copied to stdout'))), 'HddcCZ')
  assert.is(sqlStateOf(await client.ask(query('copy copied from stdin'))), '57014')
  assert.is(sqlStateOf(await client.ask(parse('', 'copy copied from stdin'), bind(''), EXECUTE, SYNC)), '57014')
  assert.is(firstValue(await client.ask(query('select count(*) from copied'))), '2')
  client.socket.destroy()
})

test('encryption is declined and a cancel request is taken', async () => {
  const request = (code: number) => {
    const packet = Buffer.alloc(8)
    packet.writeInt32BE(8)
    packet.writeInt32BE(code, 4)
    return packet
  }
  const client = await wireConnection(server.port)
  const bytes: Buffer[] = []
  client.socket.on('data', (data) => bytes.push(data))
  client.socket.write(request(80877103))
  await until(() => bytes.length > 0, { what: 'an answer to SSLRequest' })
  assert.is(Buffer.concat(bytes).toString(), 'N')
  client.socket.destroy()
  const cancel = await wireConnection(server.port)
  cancel.socket.write(request(80877102))
  await until(() => cancel.closed(), { what: 'the cancelling connection is ended' })
})

test('what is not the protocol ends only its own connection', async () => {
  const cases: [string, Buffer][] = [
    ['08P01', message('?', 'what')],
    ['08P01', message('F', Buffer.alloc(10))],
    ['08P01', Buffer.from([0x51, 0, 0, 0, 1])],
    ['08P01', Buffer.from([0x51, 0x7f, 0xff, 0xff, 0xff])],
  ]
  for (const [state, bytes] of cases) {
    const client = await wireClient(server.port)
    assert.is(sqlStateOf(await client.ask(bytes)), state)
    await until(() => client.closed(), { what: 'the connection is ended' })
  }
  const browser = await wireConnection(server.port)
  browser.socket.write('GET / HTTP/1.1\r\n\r\n')
  await until(() => browser.closed(), { what: 'the connection is ended' })
  const other = await wireConnection(server.port)
  assert.is(sqlStateOf(await other.ask(startupPacket({ user: 'postgres', database: 'other' }))), '3D000')
  await withClient(url, async (sql) => assert.is((await sql`select 1 as one`)[0]?.one, 1))
})

test('a later minor version of the protocol is brought down to 3.0', async () => {
  const client = await wireConnection(server.port)
  const answers = await client.ask(startupPacket({ user: 'postgres', database: 'postgres' }, (3 << 16) + 2))
  assert.match(typesOf(answers), /^vR.*Z$/)
  client.socket.destroy()
})

test('psql works where it is installed', async () => {
  try {
    const installed = await run('psql', ['--version']).then(
      () => true,
      () => false,
    )
    if (!installed) return
    const script = ['create table from_psql (id int)', 'insert into from_psql values (7)', 'select id from from_psql']
    const { stdout } = await run('psql', [url, '-X', '-A', '-t', '-q', ...script.flatMap((line) => ['-c', line])])
    assert.is(stdout.trim(), '7')
    const { stdout: tables } = await run('psql', [url, '-X', '-A', '-t', '-c', '\\dt'])
    assert.match(tables, /from_psql/)
  } finally {
    await server.close()
    await remove()
  }
})

test.run()
