import { NatsError } from 'nats'
import { type ErrorCode, FaafoError, isFaafoError } from '../../events/errors.ts'
import type { Broker } from './broker.ts'
import { aborted } from './shutdown.ts'
import type { Attempt } from './webhook-attempts.ts'

/*
 * What apis and subscribers say to each other about webhooks, over core NATS: nothing of it is kept.
 *
 *   webhook.ping   {id}, answered by one of the subscribers: {attempt} or {error: {code, message}}
 *   webhook.look   {id}, for all of them: it has changed. What is missed is found a moment later.
 */

type PingAnswer = { attempt: Attempt } | { error: { code: ErrorCode; message: string } }

/** Longer than an attempt may take. */
const PING_MS = 25_000

/**
 * Has a ping sent to the webhook and resolves to what came of it, whatever that was.
 * Throws `subscribers-unavailable`, `not-found`, `log-unavailable`.
 */
export async function askForPing(broker: Broker, id: string): Promise<Attempt> {
  const nc = broker.nc()
  const answer = await nc
    .request(broker.names.webhookPing, JSON.stringify({ id }), { timeout: PING_MS })
    .then((message) => message.json<PingAnswer>())
    .catch((error) => {
      const nobody = error instanceof NatsError && error.code === '503'
      const reason = nobody
        ? 'no process that delivers webhooks (faafo subscribers) runs'
        : 'there was no answer in time'
      throw new FaafoError('subscribers-unavailable', `cannot ping webhook '${id}': ${reason}`, { cause: error })
    })
  if ('attempt' in answer) return answer.attempt
  throw new FaafoError(answer.error.code, answer.error.message)
}

/** Answers such asks until `stop` fires. */
export function answerPings(broker: Broker, ping: (id: string) => Promise<Attempt>, stop: AbortSignal): void {
  const answer = (id: string): Promise<PingAnswer> =>
    ping(id).then(
      (attempt) => ({ attempt }),
      (error) => ({
        error: isFaafoError(error)
          ? { code: error.code, message: error.message }
          : { code: 'internal', message: `cannot ping webhook '${id}': something unforeseen went wrong` },
      }),
    )
  subscribing(broker, broker.names.webhookPing, { queue: 'subscribers' }, stop, async (id, respond) => {
    respond(JSON.stringify(await answer(id)))
  })
}

/** Tells the subscribers at once what they would find a moment later. Where the broker is away, nothing is said. */
export function sayLook(broker: Broker, id: string): void {
  if (broker.isConnected()) broker.nc().publish(broker.names.webhookLook, JSON.stringify({ id }))
}

/** Calls back whenever somebody says so, until `stop` fires. */
export function onLook(broker: Broker, look: (id: string) => void, stop: AbortSignal): void {
  subscribing(broker, broker.names.webhookLook, {}, stop, (id) => look(id))
}

function subscribing(
  broker: Broker,
  subject: string,
  options: { queue?: string },
  stop: AbortSignal,
  take: (id: string, respond: (answer: string) => void) => void,
): void {
  const closed = () => {} // before it was open; the broker itself says why
  broker.ready.then((nc) => {
    const subscription = nc.subscribe(subject, {
      ...options,
      callback: (error, message) => {
        const id = error ? null : idIn(message)
        if (id !== null) take(id, (answer) => message.respond(answer))
      },
    })
    aborted(stop).then(() => subscription.unsubscribe())
  }, closed)
}

/** null where it is someone else's message on our subject. */
function idIn(message: { json<J>(): J }): string | null {
  try {
    const { id } = message.json<{ id?: unknown }>()
    return typeof id === 'string' ? id : null
  } catch {
    return null
  }
}
