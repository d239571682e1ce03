import { pause } from '../platform/shutdown.ts'

/** Parts of /readyz that a start waits for; what is amiss with others (durability, say) is no reason to wait. */
const PARTS = ['broker', 'database', 'projection'] as const
/** A table that is being built from a long log is not waited for longer than this. */
const LAG_PATIENCE_MS = 10_000
const POLL_MS = 100

type Part = { status?: string; reason?: string; lag_events?: number | null }
type Readyz = Partial<Record<(typeof PARTS)[number], Part>>

/** How far the tables are behind the log, in events; null where it is not known. */
export type Readiness = { lag: number | null }

/**
 * Resolves once the api can append, queries are answered, and the tables have caught up with the log (or that takes
 * longer); null when `signal` fires before. `onWait` hears every `everyMs` what is being waited for.
 */
export async function untilReady(
  apiUrl: string,
  { signal, everyMs, onWait }: { signal: AbortSignal; everyMs: number; onWait: (reasons: string) => void },
): Promise<Readiness | null> {
  const startedAt = Date.now()
  let told = startedAt
  let servesSince: number | null = null
  while (!signal.aborted) {
    const readyz = await ask(`${apiUrl}/readyz`)
    const body = readyz?.body as Readyz | undefined
    const mayServe = readyz?.ok === true && body?.database?.status === 'ok'
    const serves = mayServe && (await ask(`${apiUrl}/v1/fractal?results_per_page=1`))?.ok === true
    if (serves) {
      servesSince ??= Date.now()
      const lag = body?.projection?.lag_events ?? null
      if (lag === 0 || Date.now() - servesSince > LAG_PATIENCE_MS) return { lag }
    }
    if (Date.now() - told > everyMs) {
      told = Date.now()
      onWait(reasonsIn(body))
    }
    await pause(POLL_MS, signal)
  }
  return null
}

function reasonsIn(body: Readyz | undefined): string {
  if (!body) return 'the api does not answer yet'
  const reasons = PARTS.flatMap((name) => {
    const part = body[name]
    return part?.status === 'ok' || !part ? [] : [`${name}: ${part.reason ?? part.status}`]
  })
  return reasons.join('; ') || 'the tables are being built from the log'
}

async function ask(url: string): Promise<{ ok: boolean; body: unknown } | null> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) })
    return { ok: answer.ok, body: await answer.json() }
  } catch {
    return null
  }
}
