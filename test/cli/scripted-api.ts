import { type Http2Bindings, type HttpBindings, serve } from '@hono/node-server'
import type { FractalObject } from '../../services/cli/client.ts'

/** One request as the server saw it. */
export type Seen = { method: string; path: string; query: URLSearchParams; headers: Headers; body: unknown }
export type Script = (
  seen: Seen,
  incoming: HttpBindings['incoming'] | Http2Bindings['incoming'],
) => Response | Promise<Response>

/**
 * A server that answers as a test says, so that an api's faults can be had on demand. `seen` holds every request, in
 * order.
 */
export async function withScriptedApi(
  script: Script,
  use: (url: string, seen: Seen[]) => Promise<void>,
  { events = false } = {},
): Promise<void> {
  const seen: Seen[] = []
  const fetch = async (request: Request, { incoming }: HttpBindings | Http2Bindings) => {
    const { pathname, searchParams } = new URL(request.url)
    const text = await request.text()
    // Not before a script wants to: who waits for fractals follows events where there are some, and asks all the same.
    if (pathname === '/v1/events' && !events) return problem('not-found', 404, 'cannot follow events here')
    const body: unknown = text === '' ? undefined : JSON.parse(text)
    const one = { method: request.method, path: pathname, query: searchParams, headers: request.headers, body }
    seen.push(one)
    return script(one, incoming)
  }
  let server: ReturnType<typeof serve> | undefined
  const port = await new Promise<number>((listening) => {
    server = serve({ fetch, port: 0, hostname: '127.0.0.1' }, (address) => listening(address.port))
  })
  try {
    await use(`http://127.0.0.1:${port}`, seen)
  } finally {
    await new Promise<void>((closed) => {
      server?.close(() => closed())
      if (server && 'closeAllConnections' in server) server.closeAllConnections()
    })
  }
}

export const json = (body: unknown, status = 200, headers: Record<string, string> = {}): Response =>
  Response.json(body, { status, headers })

export const problem = (code: string, status: number, detail: string, headers: Record<string, string> = {}): Response =>
  json({ type: `/problems/${code}`, title: code, status, detail, code, message: detail }, status, {
    'content-type': 'application/problem+json',
    ...headers,
  })

/** The fractal of the original's documentation, completed; `changes` on top. */
export const fractal = (changes: Partial<FractalObject> = {}): FractalObject => ({
  uuid: '9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10',
  status: 'completed',
  checksum: '103c056f709b86f5487a24dd977d3ab88fe093791f4f6b6d1c8924d122031902',
  url: '/fractal/9c1c3d0e-5b0a-4d55-a1a7-3f6a6f7b2c10',
  duration: 4.163147,
  size: 26283,
  width: 295,
  height: 738,
  iterations: 399,
  xa: -2.5,
  xb: 1.25,
  ya: -1.5,
  yb: 2,
  cx: -0.8,
  cy: 0.156,
  generated_by: 'worker-1',
  pixel_checksum: '5d41402abc4b2a76b9719d911017c592ae2d2f0ed8ef3b0a1ee1a7a6d7e6c1aa',
  kernel_version: '1',
  generation: 1,
  attempts: 1,
  error: null,
  created_at: '2026-01-02T03:04:05.000Z',
  started_at: '2026-01-02T03:04:06.000Z',
  finished_at: '2026-01-02T03:04:10.000Z',
  cursor: '1-0198c3a1',
  progress: null,
  ...changes,
})

/** The same before anything was rendered. */
export const requested = (changes: Partial<FractalObject> = {}): FractalObject =>
  fractal({
    status: 'requested',
    checksum: null,
    url: null,
    duration: null,
    size: null,
    generated_by: null,
    pixel_checksum: null,
    kernel_version: null,
    attempts: 0,
    started_at: null,
    finished_at: null,
    ...changes,
  })
