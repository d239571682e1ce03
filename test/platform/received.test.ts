import { AckPolicy, connect, headers, type JsMsg, type MsgHdrs } from 'nats'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { headerBytesOf, headersOf, receivedOf } from '../../services/platform/received.ts'
import { withBroker } from '../support/broker.ts'

async function received(given: (MsgHdrs | undefined)[]): Promise<JsMsg[]> {
  const messages: JsMsg[] = []
  await withBroker(async ({ url }) => {
    const nc = await connect({ servers: url })
    const jsm = await nc.jetstreamManager()
    await jsm.streams.add({ name: 'S', subjects: ['s'] })
    await jsm.consumers.add('S', { durable_name: 'c', ack_policy: AckPolicy.None })
    for (const head of given) await nc.jetstream().publish('s', 'body', head && { headers: head })
    const consumer = await nc.jetstream().consumers.get('S', 'c')
    for await (const message of await consumer.fetch({ max_messages: given.length })) messages.push(message)
    await nc.close()
  })
  return messages
}

function head(...lines: [name: string, value: string][]): MsgHdrs {
  const made = headers()
  for (const [name, value] of lines) made.append(name, value)
  return made
}

test('headers are those that the client library reads, the first of each name', async () => {
  const given = [
    head(['ce-id', '1'], ['ce-type', 'TaskRequested'], ['content-type', 'application/json']),
    head(['a', 'one'], ['a', 'two'], ['B', 'x: y'], ['b', '']),
    head(['ce-source', '/worker/büro-😀'], ['spaced', '  a  b  ']),
  ]
  for (const [i, message] of (await received(given)).entries()) {
    assert.ok(headerBytesOf(message), 'they are read from their bytes: has the client library changed?')
    const read = headersOf(message)
    const expected = [...(message.headers ?? [])].map(([name, [value = '']]) => [name, value] as const)
    assert.equal([...read], expected)
    assert.is(read.size, given[i]?.keys().length)
    const { header, body } = receivedOf(message)
    for (const [name, value] of read) assert.is(header(name), value, name)
    assert.equal([header('absent'), header('e-id'), header('CE-ID'), body], ['', '', '', 'body'])
  }
})

test('a message without headers has none', async () => {
  const [message] = await received([undefined])
  assert.ok(message)
  assert.equal(headersOf(message), new Map())
})

test.run()
