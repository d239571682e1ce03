import type { JsMsg, Msg, MsgHdrs, StoredMsg } from 'nats'
import type { ReceivedMessage } from '../../events/codec.ts'

/** A message of a stream, by way of a consumer or fetched by itself. */
type StreamMessage = JsMsg | Msg | StoredMsg

/** As the codec reads it, which asks for few headers and for each once: they are looked for one by one, and not all told apart. */
export function receivedOf(message: StreamMessage): ReceivedMessage {
  const bytes = headerBytesOf(message)
  const body = message.string()
  if (bytes) {
    const text = utf8.decode(bytes)
    return { header: (name) => valueIn(text, name), body }
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

/** Source: NATS client protocol, HMSG: a line with the protocol's version, then `name: value` lines, each ended by CR LF. */
function parseHeaders(bytes: Uint8Array): Map<string, string> {
  const headers = new Map<string, string>()
  const text = utf8.decode(bytes)
  for (let at = text.indexOf('\r\n') + 2, end = 0; at >= 2; at = end + 2) {
    end = text.indexOf('\r\n', at)
    const colon = text.indexOf(':', at)
    if (end <= at || colon < 0) break
    const name = text.slice(at, colon)
    if (colon < end && !headers.has(name)) headers.set(name, text.slice(colon + 1, end).trim())
  }
  return headers
}

/** The value of the first header of that name. */
function valueIn(text: string, name: string): string {
  const beginning = beginningOf(name)
  const at = text.indexOf(beginning)
  if (at < 0) return ''
  const from = at + beginning.length + (text[at + beginning.length] === ' ' ? 1 : 0) // else all of them have it cut off
  const end = text.indexOf('\r\n', from)
  return end < 0 ? '' : text.slice(from, end).trim()
}

/** How the line of a header begins, the end of the one before it included; there are few names. */
function beginningOf(name: string): string {
  const made = beginnings.get(name) ?? `\r\n${name}:`
  if (!beginnings.has(name)) beginnings.set(name, made)
  return made
}
const beginnings = new Map<string, string>()

function known(headers: MsgHdrs | undefined): Map<string, string> {
  const found = new Map<string, string>()
  for (const [name, [value = '']] of headers ?? []) found.set(name, value)
  return found
}
