import { createServer } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { freePort, isBlocked, requirePort } from '../../services/platform/ports.ts'

test('a free port is none that an outgoing connection may be given', async () => {
  for (const port of await Promise.all(Array.from({ length: 200 }, freePort))) {
    assert.ok(port > 10_080 && port < 30_000, String(port)) // the last one that browsers connect to under no circumstances
  }
})

test('the ports that are taken for unusable are those that fetch refuses', async () => {
  for (const port of [1, 22, 6000, 10_080, 80, 443, 4222, 5432, 8079, 8080, 11_000]) {
    const error = await fetch(`http://127.0.0.1:${port}`).then(
      () => undefined,
      (error) => error,
    )
    assert.is(error?.cause?.message === 'bad port', isBlocked(port), String(port))
  }
})

test('a port that is taken is told, with what to do', async () => {
  const port = await freePort()
  await requirePort('127.0.0.1', port)
  const server = createServer()
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
  try {
    const error = await requirePort('127.0.0.1', port).catch((error) => error)
    assert.ok(isFaafoError(error, 'port-taken'))
    assert.match(error.message, `cannot listen on 127.0.0.1:${port}: the port is taken; set PORT to a free one`)
  } finally {
    server.close()
  }
})

test.run()
