import { createServer } from 'node:net'
import process from 'node:process'
import { FaafoError } from '../../events/errors.ts'

/** Below the ports that systems give to outgoing connections (Linux from 32,768, others from 49,152). */
const [FIRST, LAST] = [11_000, 29_999]
const TRIES = 100

/** Each process begins elsewhere and goes on from there, so that no two choose the same one before they listen. */
let next = (process.pid * 97) % (LAST - FIRST + 1)

/**
 * Ports to which no browser connects, nor `fetch`, so that nobody could use an api there. Source: Fetch Living Standard,
 * "Port blocking".
 */
const BLOCKED: ReadonlySet<number> = new Set([
  ...[1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109],
  ...[110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530],
  ...[531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190],
  ...[5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080],
])
export const isBlocked = (port: number): boolean => BLOCKED.has(port)

/**
 * A loopback port that is free now. No outgoing connection takes it while its server is started again: not even the
 * one of a client that tries to reach that very server, which could else connect to itself.
 */
export async function freePort(): Promise<number> {
  for (let tries = 1; ; tries++) {
    const port = FIRST + next
    next = (next + 1) % (LAST - FIRST + 1)
    try {
      return await probe('127.0.0.1', port)
    } catch (error) {
      if (tries === TRIES) throw listenError('127.0.0.1', port, error)
    }
  }
}

/** Throws `port-taken` where something listens on the port already, `invalid-config` where the host is not ours. */
export async function requirePort(host: string, port: number): Promise<void> {
  try {
    await probe(host, port)
  } catch (error) {
    throw listenError(host, port, error)
  }
}

/** What to say of a server that could not listen. */
export function listenError(host: string, port: number, error: unknown): FaafoError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') {
    return new FaafoError(
      'port-taken',
      `cannot listen on ${host}:${port}: the port is taken; set PORT to a free one, such as PORT=${port < 65_000 ? port + 1 : 8080}, or end the program that has it`,
      { cause: error },
    )
  }
  if (code === 'EACCES') {
    return new FaafoError('port-taken', `cannot listen on ${host}:${port}: not permitted; set PORT to 1024 or above`, {
      cause: error,
    })
  }
  return new FaafoError(
    'invalid-config',
    `cannot listen on ${host}:${port}: HOST is no address of this machine (${code}); set HOST=127.0.0.1 or 0.0.0.0`,
    { cause: error },
  )
}

const probe = (host: string, port: number): Promise<number> =>
  new Promise((done, refuse) => {
    const server = createServer()
    server.once('error', refuse)
    server.listen(port, host, () => {
      const address = server.address()
      server.close(() => done(typeof address === 'object' && address ? address.port : port))
    })
  })
