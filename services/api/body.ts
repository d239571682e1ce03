import type { Context } from 'hono'
import { FaafoError, isFaafoError } from '../../events/errors.ts'

/** The body as text, at most `maxBytes` long as sent. Throws `body-too-large`, `malformed-body`. */
export async function readBody(c: Context, maxBytes: number): Promise<string> {
  try {
    return await read(c, maxBytes)
  } catch (error) {
    if (isFaafoError(error)) throw error
    throw new FaafoError('malformed-body', 'cannot read the body: it broke off', { cause: error })
  }
}

async function read(c: Context, maxBytes: number): Promise<string> {
  const declared = c.req.header('content-length')
  if (declared !== undefined) {
    if (Number(declared) > maxBytes) throw tooLarge(maxBytes)
    return c.req.text()
  }
  const { body } = c.req.raw
  if (!body) return ''
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > maxBytes) throw tooLarge(maxBytes)
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

/** Throws `malformed-body`. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const reason = text.trim() === '' ? 'it is empty' : 'it is not JSON'
    throw new FaafoError('malformed-body', `cannot read the body: ${reason}`, { cause: error })
  }
}

/** The media type of the body, lower-cased, parameters apart; null where none is named. */
export const mediaTypeOf = (c: Context): string | null =>
  c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase() || null

const tooLarge = (maxBytes: number) =>
  new FaafoError('body-too-large', `cannot read the body: it is larger than ${maxBytes} bytes`)
