import type { JsMsg, Msg, MsgHdrs, StoredMsg } from 'nats'
import type { ReceivedMessage } from '../../events/codec.ts'

/** A message of a stream, by way of a consumer or fetched by itself. */
type StreamMessage = JsMsg | Msg | StoredMsg

/** As the codec reads it, which asks for few headers and for each once: only those are cut out of the others. */
export function receivedOf(message: StreamMessage): ReceivedMessage {
  const bytes = headerBytesOf(message)
  const body = message.string()
  if (bytes) {
    const text = utf8.decode(bytes)
    const lines = linesOf(text)
    return { header: (name) => valueIn(text, lines, name), body }
  }
  const headers = headersOf(message)
  return { header: (name) => headers.get(name) ?? '', body }
}

/**
 * The headers by name, of several of one name the first. For a message of a consumer they are read from its bytes: what the client
 * library makes of them takes several times as long as everything else that is done to read an event.
 */
export function headersOf(message: StreamMessage): Map<string, string> {
  const bytes = headerBytesOf(message)
  return bytes ? parseHeaders(bytes) : known('header' in message ? message.header : message.headers)
}

/** The part of the client library's message (nats 2.29) that it keeps to itself. */
type Inner = { _rdata?: unknown; _msg?: { hdr?: unknown } }

/** undefined where the client library keeps them otherwise, or made the headers already. */
export function headerBytesOf(message: StreamMessage): Uint8Array | undefined {
  const { _rdata, _msg } = ((message as { msg?: Inner }).msg ?? message) as Inner // a JsMsg is made of a Msg
  const length = _msg?.hdr
  if (typeof length !== 'number' || length <= 0 || !(_rdata instanceof Uint8Array)) return undefined
  return _rdata.subarray(0, length)
}

const utf8 = new TextDecoder()

/**
 * Of each header where its line begins, its colon, and where the line ends.
 * Source: NATS client protocol, HMSG: a line with the protocol's version, then `name: value` lines, each ended by CR LF.
 */
function linesOf(text: string): number[] {
  const lines: number[] = []
  for (let at = text.indexOf('\r\n') + 2, end = 0; at >= 2; at = end + 2) {
    end = text.indexOf('\r\n', at)
    const colon = text.indexOf(':', at)
    if (end <= at || colon < 0) break
    if (colon < end) lines.push(at, colon, end)
  }
  return lines
}

function parseHeaders(bytes: Uint8Array): Map<string, string> {
  const headers = new Map<string, string>()
  const text = utf8.decode(bytes)
  const lines = linesOf(text)
  for (let i = 0; i < lines.length; i += 3) {
    const name = text.slice(lines[i], lines[i + 1])
    if (!headers.has(name)) headers.set(name, valueAt(text, lines, i))
  }
  return headers
}

/** The value of the first header of that name. */
function valueIn(text: string, lines: number[], name: string): string {
  for (let i = 0; i < lines.length; i += 3) {
    const at = lines[i] ?? 0
    if (lines[i + 1] === at + name.length && text.startsWith(name, at)) return valueAt(text, lines, i)
  }
  return ''
}

const valueAt = (text: string, lines: number[], i: number) => text.slice((lines[i + 1] ?? 0) + 1, lines[i + 2]).trim()

function known(headers: MsgHdrs | undefined): Map<string, string> {
  const found = new Map<string, string>()
  for (const [name, [value = '']] of headers ?? []) found.set(name, value)
  return found
}
