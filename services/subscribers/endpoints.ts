import { messageOf } from '../../events/errors.ts'
import type { Webhook } from '../../events/webhook.ts'
import { pause } from '../platform/shutdown.ts'
import type { Webhooks } from '../platform/webhooks.ts'
import { type Endpoint, type EndpointParts, startEndpoint } from './endpoint.ts'
import { partOf } from './shares.ts'

/** How often it is looked for changes that nobody told of. */
const LOOK_MS = 5_000
/** What is under way to a webhook that was changed may end: as long as it may take. */
const CHANGE_GRACE_MS = 15_000
const HANDOVER_GRACE_MS = 1_500
const STOP_GRACE_MS = 4_000

/** The webhooks that this process delivers to: those of its parts that are active, as they are now. */
export type Endpoints = {
  hold(parts: ReadonlySet<number>, how: { atOnce: boolean }): Promise<void>
  /** Somebody says that something has changed. */
  look(): void
  /** Until `stop` fires. */
  run(stop: AbortSignal): Promise<void>
}

export function createEndpoints(webhooks: Webhooks, parts: EndpointParts): Endpoints {
  const running = new Map<string, Endpoint>()
  let held: ReadonlySet<number> = new Set()
  let news = new AbortController()
  const isOurs = (id: string) => held.has(partOf(id))

  function start(webhook: Webhook): void {
    const endpoint = startEndpoint(parts, webhook)
    running.set(webhook.id, endpoint)
    void endpoint.ended.then(() => {
      running.delete(webhook.id)
      news.abort()
    })
  }

  async function turn(): Promise<void> {
    const all = new Map((await webhooks.all()).map((webhook) => [webhook.id, webhook]))
    for (const [id, endpoint] of running) {
      const webhook = all.get(id)
      if (!webhook || webhook.version !== endpoint.version) void endpoint.stop(CHANGE_GRACE_MS)
    }
    for (const webhook of all.values()) {
      if (webhook.state === 'active' && isOurs(webhook.id) && !running.has(webhook.id)) start(webhook)
    }
  }

  return {
    look: () => news.abort(),
    async hold(share, { atOnce }) {
      if ([...share].some((part) => !held.has(part))) news.abort()
      held = share
      const others = [...running].filter(([id]) => !isOurs(id))
      await Promise.all(others.map(([, endpoint]) => endpoint.stop(atOnce ? HANDOVER_GRACE_MS : STOP_GRACE_MS)))
    },
    async run(stop) {
      while (!stop.aborted) {
        news = new AbortController()
        const { signal } = news
        const onStop = () => news.abort()
        stop.addEventListener('abort', onStop, { once: true })
        try {
          await turn()
        } catch (error) {
          parts.logger.warn({ reason: messageOf(error) }, 'webhooks not read')
        }
        await pause(LOOK_MS, signal)
        stop.removeEventListener('abort', onStop)
      }
    },
  }
}
