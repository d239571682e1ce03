import { FaafoError } from '../../events/errors.ts'
import {
  decide,
  evolve,
  fold,
  type NewWebhookEvent,
  type Webhook,
  type WebhookCommand,
  type WebhookEvent,
  type WebhookKind,
  webhookKind,
} from '../../events/webhook.ts'
import { type Aggregates, aggregatesOf } from './aggregates.ts'
import type { Broker } from './broker.ts'
import { newSecret, positionFrom, type WebhookStore, webhookStore } from './webhook-store.ts'

/** The webhooks of the second stream, and what is kept beside it. Every method throws `log-unavailable`. */
export type Webhooks = Aggregates<WebhookKind> & {
  store: WebhookStore
  /** null where there is none of that id; a deleted one says so. */
  load(id: string): Promise<Webhook | null>
  /** All that are not deleted, oldest first. Reads what has changed since it was last called. */
  all(): Promise<Webhook[]>
}

/** Reads at the same time, while all are read. */
const AT_ONCE = 32

export function webhooksOf(broker: Broker): Webhooks {
  const webhooks = aggregatesOf(broker, webhookKind)
  /** What a version of a webhook is never changes. */
  const known = new Map<string, Webhook>()

  async function load(id: string): Promise<Webhook | null> {
    let webhook = known.get(id) ?? null
    const first = (webhook?.version ?? 0) + 1
    for (let version = first; ; version++) {
      const event = await webhooks.read(id, version)
      if (!event) return webhook
      webhook = evolve(webhook, event)
      if (webhook) known.set(id, webhook)
    }
  }

  return {
    ...webhooks,
    store: webhookStore(broker),
    load,
    async all() {
      const versions = await webhooks.versions()
      for (const id of known.keys()) if (!versions.has(id)) known.delete(id) // another broker
      const changed = [...versions].filter(([id, version]) => (known.get(id)?.version ?? 0) < version).values()
      const reader = async () => {
        for (const [id] of changed) await load(id)
      }
      await Promise.all(Array.from({ length: AT_ONCE }, reader))
      const there = [...known.values()].filter(({ isDeleted }) => !isDeleted)
      return there.sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
    },
  }
}

/** Identifies an event and appends it; `cause`: the webhook's first event, undefined where it is the first. */
export type AppendWebhookEvent = (
  event: NewWebhookEvent,
  cause: string | undefined,
) => Promise<{ won: boolean; event: WebhookEvent }>

/**
 * The webhook as it was created, and its newest secret; the same request again finds what it made. Its secret and its position
 * are there before it is: from then on, one that is not there is one that was lost. Throws `already-exists`,
 * `log-unavailable`, `log-full`.
 */
export async function createWebhook(
  { store, load, read }: Webhooks,
  id: string,
  { secret: given, ...asked }: Webhook['asked'] & { secret?: string | undefined },
  append: AppendWebhookEvent,
): Promise<{ webhook: Webhook; secret: string; isNew: boolean }> {
  const command = { type: 'create', ...asked } as const
  const [decided] = decide(command, id, await load(id))
  if (decided) {
    const found = await store.createSecret(id, given ?? newSecret())
    let secret = found
    if (given !== undefined && secret !== given) {
      await store.rotateSecret(id, given, { now: 0, seconds: 0 })
      secret = given
    }
    await begin(store, id, { after: asked.after, version: 1 }, { isLost: false })
    const { won, event } = await append(decided, undefined)
    if (won) return { webhook: fold([event]) ?? missing(id), secret, isNew: true }
    if (secret !== found) await store.rotateSecret(id, found, { now: 0, seconds: 0 }) // it is that of who came first
  }
  decide(command, id, await load(id))
  const first = await read(id, 1)
  const [newest] = await store.secrets(id, Date.now())
  return { webhook: evolve(null, first ?? missing(id)) ?? missing(id), secret: newest?.secret ?? '', isNew: false }
}

const TRIES = 5

/**
 * Carries a command out and resolves to what the webhook is then; where others change it at the same time it is decided
 * anew. A new secret is to be put into the store before. Throws what `decide` throws, `log-unavailable` and `log-full`.
 */
export async function changeWebhook(
  { store, load }: Webhooks,
  id: string,
  command: Exclude<WebhookCommand, { type: 'create' }>,
  append: AppendWebhookEvent,
): Promise<Webhook> {
  for (let tries = 0; tries < TRIES; tries++) {
    const webhook = await load(id)
    const [decided] = decide(command, id, webhook)
    let after = webhook
    if (decided && webhook) {
      if (decided.type === 'WebhookReplayed' || decided.type === 'WebhookResumed') {
        const { after } = decided.data
        if (after !== null) await begin(store, id, { after, version: decided.version }, webhook)
      }
      const { won, event } = await append(decided, webhook.cause)
      if (!won) continue
      after = evolve(webhook, event)
    }
    if (command.type === 'delete') await store.forget(id)
    return after ?? missing(id)
  }
  throw new FaafoError('log-unavailable', `cannot change webhook '${id}': it kept changing; try again`)
}

/** Has it begin there, where its position is not there or counts as lost. */
async function begin(
  store: WebhookStore,
  id: string,
  start: Webhook['start'],
  { isLost }: Pick<Webhook, 'isLost'>,
): Promise<void> {
  const { value, revision } = await store.position(id)
  if (!value || isLost) await store.writePosition(id, positionFrom(start), revision)
}

const missing = (id: string): never => {
  throw new FaafoError('not-found', `cannot find webhook '${id}': there is none of that id`)
}
