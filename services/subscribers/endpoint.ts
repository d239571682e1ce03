import { isFaafoError, messageOf } from '../../events/errors.ts'
import type { Webhook, WebhookCommand } from '../../events/webhook.ts'
import type { Gate } from '../platform/gate.ts'
import { pause } from '../platform/shutdown.ts'
import { begin } from './begin.ts'
import { runSession, type SessionParts } from './session.ts'

const AGAIN_MS = 1_000

export type EndpointParts = SessionParts & {
  /** Carries out what the deliveries led to. */
  command(id: string, command: WebhookCommand): Promise<void>
  /** All of them begin when a process takes their part: in turn. */
  gate: Gate
}

/** The deliveries to one webhook, by one process. */
export type Endpoint = {
  /** Version of the webhook that it knows. */
  version: number
  /** Resolves once nothing is under way any more. */
  ended: Promise<void>
  /** Nothing is begun any more; what is under way after `graceMs` is cut, and comes again. */
  stop(graceMs: number): Promise<void>
}

/** Delivers to a webhook, wherever it stands; outages are waited out. Ends when it is stopped, or not to be delivered to. */
export function startEndpoint(parts: EndpointParts, webhook: Webhook): Endpoint {
  const logger = parts.logger.child({ webhook: webhook.id })
  const stopping = new AbortController()
  const cutting = new AbortController()
  const [stop, cut] = [stopping.signal, cutting.signal]

  async function proceed(): Promise<boolean> {
    const begun = await parts.gate(async () => (stop.aborted ? null : begin(parts, webhook)))
    if (!begun) return false
    if ('reason' in begun) {
      await parts.command(webhook.id, { type: 'pause', ...begun })
      logger.warn(begun, 'webhook paused')
      return true
    }
    const ending = await runSession({ ...parts, logger }, webhook, begun, { stop, cut })
    if (ending.type !== 'over') return ending.type === 'stopped'
    await untilDone(ending.command)
    return true
  }

  async function untilDone(command: WebhookCommand): Promise<void> {
    while (!stop.aborted) {
      try {
        await parts.command(webhook.id, command)
        return logger.warn({ command }, 'webhook stopped by its deliveries')
      } catch (error) {
        if (isFaafoError(error, 'not-found') || isFaafoError(error, 'illegal-transition')) return
        await pause(AGAIN_MS, stop)
      }
    }
  }

  async function run(): Promise<void> {
    for (let tries = 0; !stop.aborted; tries++) {
      try {
        if (await proceed()) return
      } catch (error) {
        if (tries % 60 === 0) logger.warn({ reason: messageOf(error) }, 'webhook not begun')
        if (!isFaafoError(error)) logger.error({ err: error }, 'webhook not begun')
      }
      await pause(AGAIN_MS, stop)
    }
  }

  const ended = run()
  return {
    version: webhook.version,
    ended,
    async stop(graceMs) {
      stopping.abort()
      const timer = setTimeout(() => cutting.abort(), graceMs)
      await ended
      clearTimeout(timer)
    },
  }
}
