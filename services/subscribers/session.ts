import { FaafoError, isFaafoError } from '../../events/errors.ts'
import { parkedIdOf } from '../../events/parked.ts'
import type { Names } from '../../events/subjects.ts'
import type { Webhook, WebhookCommand } from '../../events/webhook.ts'
import type { Feed, FeedEvent } from '../platform/feed.ts'
import type { Gate } from '../platform/gate.ts'
import type { Log } from '../platform/log.ts'
import type { Logger } from '../platform/logger.ts'
import { aborted } from '../platform/shutdown.ts'
import { unreadableOf } from '../platform/unreadable.ts'
import type { Attempt } from '../platform/webhook-attempts.ts'
import type { Waiting } from '../platform/webhook-store.ts'
import type { BeginParts, Begun } from './begin.ts'
import { type Delivered, deliver, parcelOf } from './deliver.ts'
import { createLanes } from './lanes.ts'
import { createProgress } from './progress.ts'
import { type Schedule, verdictOn } from './schedule.ts'
import type { Sender } from './send.ts'
import { wanting } from './wanted.ts'

export type SessionParts = BeginParts & {
  feed: Feed
  log: Log
  names: Names
  sender: Sender
  /** All that is sent goes through it, so that a machine that does not keep up does not have all of it time out. */
  sending: Gate
  note(attempt: Attempt): void
  logger: Logger
  schedule: Schedule
  random: () => number
}

/** On their way at the same time to one webhook; to one that fails again and again, a single one. */
const AT_ONCE = 8
const FAILURES_IN_DOUBT = 8
/** Deliveries that are not done: so many are read, and so many of them that could be sent were not tried yet. */
const MOST_WAITING = 1_000
const MOST_FRESH = 100
/** After so many are parked it is paused. */
const MOST_PARKED = 1_000
/** A webhook that failed for longer and is back gets what waits for its next try at once. */
const LONG_AWAY_MS = 60_000

/** Clocks may be set: it is looked again after so long. */
const LONGEST_TIMER_MS = 60_000

/** `over`: the command is to be carried out. `again`: somebody else has it, or something failed. */
export type Ending = { type: 'stopped' } | { type: 'again' } | { type: 'over'; command: WebhookCommand }

/**
 * Delivers to one webhook from where it stands, until it is not to be delivered to any more, `stop` fires (what is under
 * way may end) or, with it, `cut` (it may not). Its position is written then.
 */
export async function runSession(
  parts: SessionParts,
  webhook: Webhook,
  { position, revision, from, secrets }: Begun,
  { stop, cut }: { stop: AbortSignal; cut: AbortSignal },
): Promise<Ending> {
  const { feed, log, names, sender, sending, note, logger, schedule, random, store } = parts
  const { id } = webhook
  const lanes = createLanes(position.waiting)
  /** The newest of those that were not tried yet; the others are read again. */
  const events = new Map<number, FeedEvent>()
  const closing = new AbortController()
  let ending: Ending = { type: 'stopped' }
  let { upTo, failingSince, notBefore } = position
  let failures = 0
  let inHand = 0
  let timer: NodeJS.Timeout | undefined
  let tell = () => {}

  const close = (how: Ending) => {
    if (!closing.signal.aborted) ending = how
    closing.abort()
    tell()
  }
  const onStop = () => close({ type: 'stopped' })
  if (stop.aborted) onStop()
  stop.addEventListener('abort', onStop, { once: true })

  const progress = createProgress(
    parts,
    id,
    revision,
    () => ({ ...position, upTo, failingSince, notBefore, waiting: lanes.waiting() }),
    () => close({ type: 'again' }),
  )

  const fail = (error: unknown) => {
    if (isFaafoError(error)) logger.warn({ reason: error.message }, 'deliveries interrupted')
    else logger.error({ err: error }, 'deliveries interrupted')
    close({ type: 'again' })
  }

  function kick(): void {
    clearTimeout(timer)
    if (closing.signal.aborted) return
    const now = Date.now()
    const limit = failures >= FAILURES_IN_DOUBT ? 1 : AT_ONCE
    while (now >= notBefore && inHand < limit) {
      const delivery = lanes.next(now)
      if (!delivery) break
      inHand++
      void attempt(delivery)
        .catch((error) => {
          lanes.putBack(delivery)
          fail(error)
        })
        .finally(() => {
          inHand--
          kick()
          tell()
        })
    }
    if (inHand >= limit) return
    const due = notBefore > now && lanes.size() > inHand ? notBefore : lanes.due()
    if (due !== null) timer = setTimeout(kick, Math.min(Math.max(0, due - now), LONGEST_TIMER_MS))
  }

  async function attempt(delivery: Waiting): Promise<void> {
    const event = events.get(delivery.seq) ?? (await eventAt(log, names, delivery.seq))
    const parcel = parcelOf(event)
    const came = await sending(() => deliver(sender, webhook, secrets, parcel, delivery.tries + 1, cut))
    if (!came) return lanes.putBack(delivery)
    note(came.attempt)
    events.delete(delivery.seq)
    progress.changed()
    if (came.attempt.outcome === 'delivered') {
      if (failingSince !== null && Date.now() - failingSince > LONG_AWAY_MS) lanes.hurry()
      failures = 0
      failingSince = null
      return lanes.done(delivery)
    }
    failures++
    failingSince ??= came.attempt.at
    if (came.attempt.outcome !== 'gone') return failed(delivery, event, came, failingSince)
    lanes.putBack(delivery)
    close({ type: 'over', command: { type: 'disable', reason: came.attempt.error ?? '410' } })
  }

  async function failed(delivery: Waiting, event: FeedEvent, came: Delivered, since: number): Promise<void> {
    const { attempt, retryAfterMs } = came
    const now = Date.now()
    if (retryAfterMs !== null) notBefore = Math.max(notBefore, now + retryAfterMs)
    const failed = { at: attempt.at, retryAfterMs }
    const verdict = verdictOn(delivery, failed, { failingSince: since, now, random: random(), schedule })
    if (verdict.type === 'again') return lanes.again(delivery, verdict.trial)
    if (verdict.type === 'pause') {
      lanes.putBack(delivery)
      const reason = `no delivery succeeded since ${new Date(since).toISOString()}; the last one: ${attempt.error}`
      return close({ type: 'over', command: { type: 'pause', by: 'delivery', reason } })
    }
    const { seq, uuid, tries } = delivery
    const { cursor, type } = parcelOf(event)
    const parked = {
      seq,
      cursor: cursor ?? String(seq),
      type,
      uuid,
      attempts: tries + 1,
      since: now,
      error: attempt.error,
    }
    const list = await store.changeParked(id, (list) => [...list.filter((one) => one.seq !== seq), parked])
    lanes.done(delivery)
    logger.warn({ cursor, type, attempts: tries + 1, reason: attempt.error }, 'delivery parked')
    if (list.length < MOST_PARKED) return
    close({ type: 'over', command: { type: 'pause', by: 'delivery', reason: `${list.length} deliveries are parked` } })
  }

  /** Resolves once there is room for one more, or it is closing. */
  async function room(): Promise<void> {
    while (!closing.signal.aborted && (lanes.size() >= MOST_WAITING || lanes.fresh() >= MOST_FRESH)) {
      kick()
      await new Promise<void>((done) => {
        tell = done
      })
    }
  }

  function keep(event: FeedEvent): void {
    events.set(event.seq, event)
    const [oldest] = events.keys()
    if (events.size > MOST_FRESH && oldest !== undefined) events.delete(oldest)
  }

  async function read(): Promise<void> {
    const wants = wanting(webhook)
    for await (const batch of feed.follow(from, closing.signal)) {
      for (const event of batch) {
        const before = upTo
        if (wants(event)) {
          await room()
          if (closing.signal.aborted) return
          lanes.add({ seq: event.seq, uuid: event.fractal, before, tries: 0, since: 0, next: 0 })
          keep(event)
          progress.changed()
        }
        upTo = parkedIdOf(event)
      }
      progress.moved()
      kick()
    }
  }

  kick()
  const reading = read().catch((error) => {
    if (!isFaafoError(error, 'log-replaced')) return fail(error)
    close({ type: 'again' }) // which finds that, too
  })
  const writing = progress.run(closing.signal)
  await aborted(closing.signal)
  clearTimeout(timer)
  await Promise.all([reading, writing])
  while (inHand > 0) {
    await new Promise<void>((done) => {
      tell = done
    })
  }
  stop.removeEventListener('abort', onStop)
  if (!(await progress.end()) && ending.type === 'stopped') return { type: 'again' }
  return ending
}

/** As it came, or as what cannot be read. */
async function eventAt(log: Log, names: Names, seq: number): Promise<FeedEvent> {
  const message = await log.messageAt(seq)
  if (!message) throw new FaafoError('log-unavailable', `cannot read the log: event ${seq} is not there`)
  try {
    return log.decode(message, { seq, storedAt: message.storedAt ?? message.recordedAt })
  } catch (error) {
    if (!isFaafoError(error, 'undecodable-event')) throw error
    return unreadableOf(message, names, error)
  }
}
