import { createServer } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFaafoError } from '../../events/errors.ts'
import { freePort, requirePort } from '../../services/platform/ports.ts'

test('a free port is none that an outgoing connection may be given', async () => {
  for (const port of await Promise.all(Array.from({ length: 200 }, freePort))) {
    assert.ok(port >= 10_000 && port < 30_000, String(port))
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
