import { z } from 'zod'
import { problemSchema } from './schemas.ts'

/* What the descriptions of several routes are made of. */

export const json = (description: string, schema: z.ZodType, headers?: z.ZodObject) => ({
  description,
  content: { 'application/json': { schema } },
  ...(headers && { headers }),
})

const titles = {
  400: 'the request is not valid; `errors` points to each mistake',
  403: 'the request comes from the page of another site',
  404: 'there is no such thing',
  409: 'the state does not allow that; `code` says which way',
  410: 'the uuid was deleted, or a cursor is of another log',
  413: 'the body is too large',
  414: 'the URL is too long',
  415: 'the content type is not supported',
  422: 'the idempotency key was used for another request',
  500: 'the image is lost or damaged, an event cannot be read, or something failed on our side',
  503: 'a part is away for now: `Retry-After` says when to try again, `uuid` with which uuid',
  507: 'the log is full',
} as const

export const problems = (...codes: (keyof typeof titles)[]) =>
  Object.fromEntries(
    codes.map((code) => [
      code,
      { description: titles[code], content: { 'application/problem+json': { schema: problemSchema } } },
    ]),
  )

export const requestHeaders = z.object({
  'idempotency-key': z.string().min(1).max(255).optional().meta({
    description: 'a request repeated with the same key has one effect, and gets the first answer again',
  }),
  traceparent: z.string().optional().meta({ description: 'W3C trace context: it goes into the events' }),
})
