import { connect } from 'node:net'
import type { Hono } from 'hono'
import { createServer } from '../../services/api/server.ts'

/** Gives `use` the port of a server on 127.0.0.1 that answers with the app. */
export async function withServer(app: Hono, use: (port: number) => Promise<void>): Promise<void> {
  const server = createServer(app)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  try {
    await use(typeof address === 'object' && address ? address.port : 0)
  } finally {
    server.closeAllConnections()
    await new Promise((done) => server.close(done))
  }
}

/** Sends bytes as they are and gives what comes back until the other side closes: `HTTP/1.1 200 OK…`. */
export const exchange = (port: number, ...parts: string[]): Promise<string> =>
  new Promise((done) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (data) => {
      text += data
    })
    socket.on('error', () => {}) // a server may hang up on a body that it does not want
    socket.on('close', () => done(text))
    for (const part of parts) socket.write(part)
  })
