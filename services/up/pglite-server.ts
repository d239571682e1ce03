import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import type { PGlite } from '@electric-sql/pglite'
import { FaafoError, messageOf } from '../../events/errors.ts'
import { type OpenedDatabase, openDatabase } from './embedded-database.ts'
import { type Session, sharedSession } from './pglite-session.ts'
import {
  CANCEL_REQUEST,
  fatalError,
  GSS_REQUEST,
  type MessageReader,
  messageReader,
  negotiateVersion,
  ProtocolError,
  SSL_REQUEST,
  startupParameters,
  typeOf,
} from './postgres-wire.ts'

export type PgliteServerOptions = {
  dataDir: string
  /** 0 takes a free one */
  port: number
  host?: string
  /** A connection that holds the session and stays silent this long is rolled back and ended. */
  idleInTransactionMs?: number
  /** A connection that waits longer for its turn is ended. */
  turnWaitMs?: number
}

export type PgliteServer = {
  port: number
  setAside: OpenedDatabase['setAside']
  /** Resolves with the reason when the engine has died; the process should then end and be started anew. */
  failed: Promise<Error>
  close(): Promise<void>
}

/**
 * Serves the database folder `dataDir` over the PostgreSQL protocol, without encryption or password: keep `host` a
 * loopback address. All connections share the engine's one session, so nothing may rely on session state (`SET`,
 * `LISTEN`, session advisory locks). COPY … FROM STDIN is refused; statements cannot be cancelled.
 * Throws `start-failed` where the database does not open and `port-taken` where the port is in use.
 */
export async function startPgliteServer({
  dataDir,
  port,
  host = '127.0.0.1',
  idleInTransactionMs = 5_000,
  turnWaitMs = 30_000,
}: PgliteServerOptions): Promise<PgliteServer> {
  const { database, setAside } = await openDatabase(dataDir)
  let fail: (error: Error) => void = () => undefined
  const failed = new Promise<Error>((resolve) => {
    fail = resolve
  })
  const session = await sharedSession(database, fail)
  const serving = new Set<Promise<void>>()
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    const served = serve(socket, session, { idleInTransactionMs, turnWaitMs })
      .catch(fail)
      .finally(() => {
        sockets.delete(socket)
        serving.delete(served)
        socket.destroySoon()
      })
    serving.add(served)
  })
  const close = async () => {
    const closed = new Promise<void>((done) => server.close(() => done()))
    for (const socket of sockets) socket.destroy()
    await Promise.all([closed, ...serving])
    await closeEngine(database)
  }
  failed.then(() => {
    for (const socket of sockets) socket.destroy()
  })
  try {
    await listen(server, port, host)
  } catch (error) {
    await closeEngine(database)
    throw error
  }
  const address = server.address()
  return { port: typeof address === 'object' && address ? address.port : port, setAside, failed, close }
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    const taken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
    throw new FaafoError(
      taken ? 'port-taken' : 'start-failed',
      `cannot serve the embedded database on ${host}:${port}: ${taken ? 'the port is taken' : messageOf(error)}`,
      { cause: error, details: { host, port } },
    )
  }
}

/** An engine that died cannot be closed; its folder is recovered at the next opening. */
const closeEngine = (database: PGlite): Promise<void> => database.close().catch(() => undefined)

type Limits = { idleInTransactionMs: number; turnWaitMs: number }

/** Serves one connection until either side ends it, and then leaves the session as if it had never been. */
async function serve(socket: Socket, session: Session, { idleInTransactionMs, turnWaitMs }: Limits): Promise<void> {
  // A lost connection shows as the end of what is read; an 'error' without a listener would end the process.
  socket.on('error', () => undefined)
  const reader = messageReader(socket)
  const client = session.client()
  let expelled = false
  const expel = () => {
    expelled = true
    socket.end(fatalError('25P03', `terminating connection: idle for ${idleInTransactionMs} ms within a transaction`))
    setTimeout(() => socket.destroy(), 1_000).unref()
    void client.leave()
  }
  /** Waits for the client, not longer than allowed while it holds the session. */
  const patiently = async <T>(wait: Promise<T>): Promise<T> => {
    const timer = client.holds() ? setTimeout(expel, idleInTransactionMs) : undefined
    try {
      return await wait
    } finally {
      clearTimeout(timer)
    }
  }
  try {
    if (!(await startUp(socket, reader, session))) return
    while (!expelled) {
      const batch = takeBatch(reader)
      if (batch.length === 0) {
        if (!(await patiently(reader.fill()))) return
        continue
      }
      const wanted = batch.findIndex((message) => typeOf(message) === 'X')
      if (wanted === 0) return
      if (!(await client.takeTurn(turnWaitMs))) {
        socket.write(fatalError('55P03', `the embedded database was busy for ${turnWaitMs} ms`))
        return
      }
      socket.cork()
      await client.execute(wanted < 0 ? batch : batch.slice(0, wanted), (bytes) => socket.write(bytes))
      socket.uncork()
      if (wanted > 0 || socket.destroyed) return
      if (socket.writableNeedDrain) await patiently(drained(socket))
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    socket.write(fatalError('08P01', error.message))
  } finally {
    await client.leave()
  }
}

/** Answers what comes before the first query; false when the connection is not for queries. */
async function startUp(socket: Socket, reader: MessageReader, session: Session): Promise<boolean> {
  for (;;) {
    const packet = reader.takeStartup()
    if (!packet) {
      if (!(await reader.fill())) return false
      continue
    }
    const code = packet.length >= 8 ? packet.readInt32BE(4) : 0
    if (code === SSL_REQUEST || code === GSS_REQUEST) {
      socket.write('N')
      continue
    }
    // A statement runs to its end before anything else is read, so there is nothing left to cancel.
    if (code === CANCEL_REQUEST) return false
    if (code >> 16 !== 3) throw new ProtocolError(`unsupported protocol ${code >> 16}.${code & 0xffff}: 3.0 is served`)
    const database = startupParameters(packet).get('database')
    if (database !== undefined && database !== 'postgres') {
      socket.write(fatalError('3D000', `database "${database}" does not exist: the embedded one is called postgres`))
      return false
    }
    if ((code & 0xffff) > 0) socket.write(negotiateVersion())
    socket.write(session.greeting)
    return true
  }
}

const FRONTEND_TYPES = new Set('QPBDECSHdcfX')
/** Bounds how long one connection keeps the others waiting when it sends without end. */
const MAX_BATCH = 256

/** The complete messages at hand, up to one that ends the turn (Sync or Query). */
function takeBatch(reader: MessageReader) {
  const batch = []
  while (batch.length < MAX_BATCH) {
    const next = reader.take()
    if (!next) break
    const type = typeOf(next)
    // The engine ends itself over a type that it does not know.
    if (!FRONTEND_TYPES.has(type)) throw new ProtocolError(`unexpected message type ${JSON.stringify(type)}`)
    batch.push(next)
    if (type === 'S' || type === 'Q') break
  }
  return batch
}

const drained = (socket: Socket): Promise<void> =>
  new Promise((done) => {
    const finish = () => {
      socket.off('drain', finish).off('close', finish)
      done()
    }
    socket.once('drain', finish).once('close', finish)
  })
