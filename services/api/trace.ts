import type { Context } from 'hono'

/** The W3C trace context of a request, where a sound one was sent: it goes into the events that follow. */
export function traceOf(c: Context): string | undefined {
  const header = c.req.header('traceparent')
  return header && /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(header) ? header : undefined
}
