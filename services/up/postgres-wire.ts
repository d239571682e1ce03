import { Buffer } from 'node:buffer'

/*
 * The frontend's side of the PostgreSQL protocol 3: a start-up packet is <int32 length> <int32 code> …, every later
 * message <byte type> <int32 length> …; lengths count themselves. Source: the PostgreSQL manual, "Message Formats".
 */

export const SSL_REQUEST = 80877103
export const GSS_REQUEST = 80877104
export const CANCEL_REQUEST = 80877102
const MAX_STARTUP_BYTES = 10_000
/** What a client may send at once; a longer message ends the connection. */
const MAX_MESSAGE_BYTES = 256 * 1024 * 1024

/** Cuts what arrives into messages. `take` gives one that is complete; null means that `fill` has to be awaited. */
export type MessageReader = {
  takeStartup(): Buffer | null
  take(): Buffer | null
  /** false once nothing more will come */
  fill(): Promise<boolean>
}

export function messageReader(source: AsyncIterable<Buffer>): MessageReader {
  const pieces = source[Symbol.asyncIterator]()
  let held: Buffer[] = []
  let length = 0

  /** The first `size` bytes, joined into one piece, without taking them. */
  const peek = (size: number): Buffer | null => {
    if (length < size) return null
    const [first] = held
    if (first && first.length >= size) return first
    const joined = Buffer.concat(held)
    held = [joined]
    return joined
  }
  const cut = (headBytes: number, most: number): Buffer | null => {
    const head = peek(headBytes + 4)
    if (!head) return null
    const size = head.readInt32BE(headBytes) + headBytes
    if (size < headBytes + 4 || size > most) throw new ProtocolError(`invalid message length ${size}`)
    const whole = peek(size)
    if (!whole) return null
    held[0] = whole.subarray(size)
    length -= size
    return whole.subarray(0, size)
  }
  return {
    takeStartup: () => cut(0, MAX_STARTUP_BYTES),
    take: () => cut(1, MAX_MESSAGE_BYTES),
    async fill() {
      const next = await pieces.next().catch(() => ({ done: true as const, value: undefined }))
      if (next.done) return false
      if (held[0]?.length === 0) held = []
      held.push(next.value)
      length += next.value.length
      return true
    },
  }
}

/** The client broke the protocol; the connection ends with SQLSTATE 08P01. */
export class ProtocolError extends Error {}

export const typeOf = (message: Buffer): string => String.fromCharCode(message[0] ?? 0)

export function message(type: string, ...body: (string | Buffer)[]): Buffer {
  const content = Buffer.concat(body.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part)))
  const head = Buffer.alloc(5)
  head.write(type, 'latin1')
  head.writeInt32BE(content.length + 4, 1)
  return Buffer.concat([head, content])
}

export const SYNC = message('S')
export const query = (sql: string): Buffer => message('Q', sql)
export const closeStatement = (name: string): Buffer => message('C', `S${name}`)
export const copyFail = (reason: string): Buffer => message('f', reason)

/** An ErrorResponse that ends the connection. */
export const fatalError = (sqlState: string, text: string): Buffer =>
  message('E', 'SFATAL', 'VFATAL', `C${sqlState}`, `M${text}`, Buffer.of(0))

/** Tells a client that asked for a later minor version of the protocol that it gets 3.0. */
export const negotiateVersion = (): Buffer => message('v', Buffer.from([0, 3, 0, 0, 0, 0, 0, 0]))

/** The parameters of a start-up packet, such as user and database. */
export function startupParameters(packet: Buffer): Map<string, string> {
  const texts = packet.subarray(8).toString().split('\0')
  const parameters = new Map<string, string>()
  for (let i = 0; i + 1 < texts.length && texts[i] !== ''; i += 2) parameters.set(texts[i] ?? '', texts[i + 1] ?? '')
  return parameters
}

/** The prepared statement that a Parse, Bind, Describe or Close is about: its name ('' is the unnamed one) and where it stands. */
export function statementOf(message: Buffer): { name: string; at: number } | null {
  const at = statementOffset(message)
  const end = at === null ? -1 : message.indexOf(0, at)
  return at === null || end < 0 ? null : { name: message.toString('utf8', at, end), at }
}

function statementOffset(message: Buffer): number | null {
  switch (typeOf(message)) {
    case 'P':
      return 5
    case 'B': {
      const portalEnd = message.indexOf(0, 5)
      return portalEnd < 0 ? null : portalEnd + 1
    }
    case 'D':
    case 'C':
      return message[5] === 'S'.charCodeAt(0) ? 6 : null
    default:
      return null
  }
}

/** The same message with `prefix` put in at byte `at`. */
export function withPrefix(original: Buffer, at: number, prefix: string): Buffer {
  const changed = Buffer.concat([original.subarray(0, at), Buffer.from(prefix), original.subarray(at)])
  changed.writeInt32BE(changed.length - 1, 1)
  return changed
}
