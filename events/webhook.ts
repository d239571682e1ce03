import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { Kind, NewAggregateEvent, RecordedAggregateEvent } from './aggregate.ts'
import { cursorPattern } from './cursor.ts'
import { FaafoError } from './errors.ts'
import { LONGEST_URL, URL_EXPECTED, wrongWithUrl } from './webhook-url.ts'

/*
 * A webhook: an address to which every event that matches is posted.
 *
 *   WebhookCreated ──▶ active ──WebhookPaused──▶ paused ──WebhookResumed──▶ active
 *                        └──────WebhookDisabled──▶ disabled ──WebhookResumed──▶ active
 *   any ──WebhookDeleted──▶ deleted, for good
 *
 * Its secrets and how far its deliveries have come are in none of these (services/platform/webhook-store.ts). An event that
 * says where to begin names a cursor: in another log that is refused where it is used, as every cursor is.
 */

/** Where one may be asked for. */
export const webhookUrlSchema = z
  .string({ error: URL_EXPECTED })
  .max(LONGEST_URL, { error: URL_EXPECTED, abort: true })
  .refine((text) => wrongWithUrl(text) === null, { error: ({ input }) => wrongWithUrl(String(input)) ?? undefined })

const cursor = z.string().regex(cursorPattern)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)

const settings = {
  url: z.string(),
  description: z.string(),
  /** Types of events, states they lead to, fractals: of each, none listed means any. */
  types: z.array(z.string()),
  status: z.array(z.string()),
  uuid: z.array(z.string()),
}
const settingsSchema = z.object(settings)
export type WebhookSettings = z.output<typeof settingsSchema>

export const pausers = ['user', 'delivery', 'positions-lost'] as const
/** Who paused it: a user, deliveries that kept failing, or the loss of what says how far it had come. */
export type Pauser = (typeof pausers)[number]

const which = {
  /** These deliveries; null: not asked by cursor. */
  cursors: z.array(cursor).nullable(),
  /** Those of this fractal; null: not asked by fractal. Both null: all. */
  uuid: z.string().nullable(),
}
const whichSchema = z.object(which)
export type WhichParked = z.output<typeof whichSchema>

export const webhookKind = {
  name: 'webhook',
  schemas: {
    /** `after`: it begins with what comes after that. `requestHash`: of what was sent with an idempotency key, not always kept. */
    WebhookCreated: z.object({ ...settings, after: cursor, requestHash: sha256.optional() }),
    /** All settings, as they are from then on. */
    WebhookChanged: settingsSchema,
    WebhookPaused: z.object({ reason: z.string().nullable(), by: z.enum(pausers) }),
    /** `after`: where it begins, when how far it had come was lost; null: it goes on. */
    WebhookResumed: z.object({ after: cursor.nullable() }),
    /** `overlap`: seconds for which the secret before is valid, too. */
    WebhookSecretRotated: z.object({ overlap: z.int().min(0) }),
    WebhookReplayed: z.object({ after: cursor }),
    WebhookParkedRetried: whichSchema,
    WebhookDisabled: z.object({ reason: z.string() }),
    WebhookDeleted: z.object({}),
  },
  schemaVersions: {
    WebhookCreated: 1,
    WebhookChanged: 1,
    WebhookPaused: 1,
    WebhookResumed: 1,
    WebhookSecretRotated: 1,
    WebhookReplayed: 1,
    WebhookParkedRetried: 1,
    WebhookDisabled: 1,
    WebhookDeleted: 1,
  },
  upcasters: {},
} satisfies Kind

export type WebhookKind = typeof webhookKind
type Asked = z.output<WebhookKind['schemas']['WebhookCreated']>
export type NewWebhookEvent = NewAggregateEvent<WebhookKind>
export type WebhookEvent = RecordedAggregateEvent<WebhookKind>

export const webhookStates = ['active', 'paused', 'disabled'] as const
export type WebhookState = (typeof webhookStates)[number]

export type Webhook = WebhookSettings & {
  id: string
  state: WebhookState
  /** Why it is not active, and who paused it, where it is paused. */
  reason: string | null
  pausedBy: Pauser | null
  /** It begins after that cursor; `version`: of the event that said so. */
  start: { after: string; version: number }
  /** How far it had come is lost, and nobody has said yet where to begin. */
  isLost: boolean
  /** Version of the last resume; deliveries that wait are then tried as if for the first time. */
  resumed: number
  /** Parked deliveries that are to be tried again, by versions. */
  retries: readonly (WhichParked & { version: number })[]
  isDeleted: boolean
  /** What its creation asked for. */
  asked: Asked
  version: number
  /** Id of its first event. */
  cause: string
  /** Unix milliseconds by the broker's clock. */
  createdAt: number
  updatedAt: number
}

const settingsOf = ({ url, description, types, status, uuid }: WebhookSettings): WebhookSettings => ({
  ...{ url, description, types, status, uuid },
})

/** The state after `event`, null before the first. Total: what was seen already, or has no place, changes nothing. */
export function evolve(webhook: Webhook | null, event: WebhookEvent): Webhook | null {
  if (event.type === 'WebhookCreated') return webhook ?? created(event)
  if (!webhook || webhook.isDeleted || event.version <= webhook.version) return webhook
  const { version } = event
  const changed = { ...webhook, version, updatedAt: event.recordedAt }
  switch (event.type) {
    case 'WebhookChanged':
      return { ...changed, ...settingsOf(event.data) }
    case 'WebhookPaused': {
      const { reason, by } = event.data
      return { ...changed, state: 'paused', reason, pausedBy: by, isLost: webhook.isLost || by === 'positions-lost' }
    }
    case 'WebhookResumed': {
      const { after } = event.data
      const begun = after === null ? {} : { start: { after, version }, isLost: false }
      return { ...changed, ...begun, state: 'active', reason: null, pausedBy: null, resumed: version }
    }
    case 'WebhookSecretRotated':
      return changed
    case 'WebhookReplayed':
      return { ...changed, start: { after: event.data.after, version }, isLost: false }
    case 'WebhookParkedRetried':
      return { ...changed, retries: [...webhook.retries, { ...event.data, version }] }
    case 'WebhookDisabled':
      return { ...changed, state: 'disabled', reason: event.data.reason, pausedBy: null }
    case 'WebhookDeleted':
      return { ...changed, isDeleted: true }
  }
}

const created = ({ aggregate, version, data, id, recordedAt }: WebhookEvent & { type: 'WebhookCreated' }): Webhook => ({
  ...settingsOf(data),
  id: aggregate,
  state: 'active',
  reason: null,
  pausedBy: null,
  start: { after: data.after, version },
  isLost: false,
  resumed: 0,
  retries: [],
  isDeleted: false,
  asked: data,
  version,
  cause: id,
  createdAt: recordedAt,
  updatedAt: recordedAt,
})

export const fold = (events: Iterable<WebhookEvent>): Webhook | null => {
  let webhook: Webhook | null = null
  for (const event of events) webhook = evolve(webhook, event)
  return webhook
}

export type WebhookCommand =
  | ({ type: 'create' } & Asked)
  | { type: 'change'; settings: Partial<WebhookSettings> }
  | { type: 'pause'; reason: string | null; by: Pauser }
  /** `now`: the end of the log, where it begins if how far it had come was lost. */
  | { type: 'resume'; now: string }
  | { type: 'rotate'; overlap: number }
  | { type: 'replay'; after: string }
  | ({ type: 'retry-parked' } & WhichParked)
  | { type: 'disable'; reason: string }
  | { type: 'delete' }

/**
 * What a command leads to; an empty list: the state is already so.
 * Throws `not-found`, `already-exists` or `illegal-transition`.
 */
export function decide(command: WebhookCommand, id: string, webhook: Webhook | null): NewWebhookEvent[] {
  if (command.type === 'create') {
    if (webhook && !webhook.isDeleted && isSame(command, webhook.asked)) return []
    if (webhook) throw new FaafoError('already-exists', `cannot create webhook '${id}': its id is taken by another one`)
    const { after, requestHash } = command
    const data = { ...settingsOf(command), after, ...(requestHash !== undefined && { requestHash }) }
    return [{ type: 'WebhookCreated', aggregate: id, version: 1, data }]
  }
  if (command.type === 'delete' && webhook?.isDeleted) return []
  if (!webhook || webhook.isDeleted) {
    throw new FaafoError('not-found', `cannot ${verbs[command.type]} webhook '${id}': there is none of that id`)
  }
  const at = { aggregate: id, version: webhook.version + 1 }
  const { state } = webhook
  switch (command.type) {
    case 'change': {
      const data = { ...settingsOf(webhook), ...command.settings }
      return isDeepStrictEqual(data, settingsOf(webhook)) ? [] : [{ ...at, type: 'WebhookChanged', data }]
    }
    case 'pause': {
      const { reason, by } = command
      if (state === 'paused') return []
      if (state === 'disabled') throw illegal('pause', webhook)
      return [{ ...at, type: 'WebhookPaused', data: { reason, by } }]
    }
    case 'resume':
      if (state === 'active') return []
      return [{ ...at, type: 'WebhookResumed', data: { after: webhook.isLost ? command.now : null } }]
    case 'rotate':
      return [{ ...at, type: 'WebhookSecretRotated', data: { overlap: command.overlap } }]
    case 'replay':
      return [{ ...at, type: 'WebhookReplayed', data: { after: command.after } }]
    case 'retry-parked': {
      const { cursors, uuid } = command
      return [{ ...at, type: 'WebhookParkedRetried', data: { cursors, uuid } }]
    }
    case 'disable':
      return state === 'disabled' ? [] : [{ ...at, type: 'WebhookDisabled', data: { reason: command.reason } }]
    case 'delete':
      return [{ ...at, type: 'WebhookDeleted', data: {} }]
  }
}

/** Where it begins is not compared: the log may have grown since. */
const isSame = (one: Asked, other: Asked): boolean =>
  one.requestHash !== undefined && other.requestHash !== undefined
    ? one.requestHash === other.requestHash
    : isDeepStrictEqual(settingsOf(one), settingsOf(other))

const verbs = {
  change: 'change',
  pause: 'pause',
  resume: 'resume',
  rotate: 'rotate the secret of',
  replay: 'replay',
  'retry-parked': 'retry deliveries of',
  disable: 'disable',
  delete: 'delete',
} as const

const illegal = (action: string, { id, state }: Webhook) =>
  new FaafoError('illegal-transition', `cannot ${action} webhook '${id}': it is ${state} already`, {
    details: { status: state },
  })
