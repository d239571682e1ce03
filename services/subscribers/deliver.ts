import type { Webhook } from '../../events/webhook.ts'
import type { FeedEvent } from '../platform/feed.ts'
import { outside } from '../platform/unreadable.ts'
import type { Attempt } from '../platform/webhook-attempts.ts'
import type { Secret } from '../platform/webhook-store.ts'
import { Refusal } from './guard.ts'
import type { Answer, Sender } from './send.ts'
import { type Post, signed } from './sign.ts'

export type Delivered = { attempt: Attempt; retryAfterMs: number | null }

/** What is posted, and what the log of attempts says of it. */
export type Parcel = Post & Pick<Attempt, 'cursor' | 'type' | 'fractal'>

/** Made once of each event, however many it is sent to. */
const parcels = new WeakMap<FeedEvent, Parcel>()

export function parcelOf(event: FeedEvent): Parcel {
  const known = parcels.get(event)
  if (known) return known
  const said = outside(event)
  const { id, cursor, type } = said
  const parcel = { id, body: JSON.stringify(said), cursor, type, fractal: event.fractal }
  parcels.set(event, parcel)
  return parcel
}

/** One try. Never throws; where `signal` fired before its end, what came of it is not known: null. */
export async function deliver(
  sender: Sender,
  { id, url }: Pick<Webhook, 'id' | 'url'>,
  secrets: readonly Secret[],
  parcel: Parcel,
  attempt: number,
  signal: AbortSignal,
): Promise<Delivered | null> {
  const at = Date.now()
  const begun = performance.now()
  const { body, cursor, type, fractal } = parcel
  const attempted = (came: Pick<Attempt, 'outcome' | 'status' | 'error' | 'answer'>): Attempt => ({
    ...{ webhook: id, at, eventId: parcel.id, cursor, type, fractal, attempt },
    latencyMs: Math.round(performance.now() - begun),
    ...came,
  })
  try {
    const answer = await sender.send(url, body, signed({ id: parcel.id, body }, secrets, at), signal)
    const { status, text, retryAfterMs } = answer
    return { attempt: attempted({ ...judged(answer), status, answer: shown(text) }), retryAfterMs }
  } catch (error) {
    if (signal.aborted) return null
    const outcome = error instanceof Refusal ? 'refused' : 'failed'
    return { attempt: attempted({ outcome, status: null, error: textOf(error), answer: null }), retryAfterMs: null }
  }
}

function judged({ status, location }: Answer): Pick<Attempt, 'outcome' | 'error'> {
  if (status >= 200 && status < 300) return { outcome: 'delivered', error: null }
  if (status === 410) return { outcome: 'gone', error: 'it answered 410: it wants no more' }
  const isRedirect = status >= 300 && status < 400
  const to = location === null ? '' : `, to ${shown(location).slice(0, 200)}`
  return {
    outcome: 'failed',
    error: isRedirect ? `it answered ${status}: no redirect is followed${to}` : `it answered ${status}`,
  }
}

/** As the database can hold it. */
const shown = (text: string) => text.replaceAll('\0', '')

/** Where several addresses were tried there is no text, but a code. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return shown(error.message || code || error.name)
}
