import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { FaafoError } from '../../events/errors.ts'
import type { Broker } from './broker.ts'
import { type KeyValue, openKeyValue } from './key-value.ts'

/*
 * What belongs to a webhook and is in no event:
 *
 *   bucket webhook-secrets     <id>             its secrets
 *   bucket webhook-positions   position.<id>    how far its deliveries have come; there from before its first event on
 *                              parked.<id>      the deliveries that were given up
 */

const secretSchema = z.object({
  /** `whsec_` and base64, as Standard Webhooks has it. */
  secret: z.string(),
  /** Unix milliseconds until which it signs; null: the newest. */
  until: z.number().nullable(),
})
export type Secret = z.output<typeof secretSchema>

const waitingSchema = z.object({
  seq: z.int(),
  uuid: z.string(),
  /** Cursor of the event before it in the log; null: it was parked, which counts as dealt with. */
  before: z.string().nullable(),
  /** Times that it was tried, and when first and next, in Unix milliseconds; 0: not yet, and at once. */
  tries: z.int(),
  since: z.number(),
  next: z.number(),
})
/** A delivery that is not done: it is on its way, or waits for its turn or its next try. */
export type Waiting = z.output<typeof waitingSchema>

const positionSchema = z.object({
  /** Which process wrote it. */
  by: z.string(),
  /** Version of the webhook's event that said where to begin (Webhook.start). */
  start: z.int(),
  /** Version of the webhook up to which is done what it asks for: resumes, retries of what is parked. */
  handled: z.int(),
  /** Every event up to this cursor is dealt with, but for those that wait. */
  upTo: z.string(),
  /** In the order of the log. */
  waiting: z.array(waitingSchema),
  /** Unix milliseconds since when no delivery succeeded though one was tried; null: the last one did. */
  failingSince: z.number().nullable(),
  /** Unix milliseconds before which nothing is sent, as `Retry-After` said; 0: at any time. */
  notBefore: z.number().default(0),
})
export type Position = z.output<typeof positionSchema>

const parkedSchema = z.object({
  seq: z.int(),
  cursor: z.string(),
  type: z.string(),
  uuid: z.string(),
  attempts: z.int(),
  /** Unix milliseconds. */
  since: z.number(),
  error: z.string().nullable(),
})
export type ParkedDelivery = z.output<typeof parkedSchema>

export const positionFrom = (start: { after: string; version: number }): Position => ({
  ...{ by: '', start: start.version, handled: start.version, upTo: start.after, waiting: [] },
  ...{ failingSince: null, notBefore: 0 },
})

/** Cursor up to which everything is dealt with: delivered, parked or left out. */
export const dealtWith = ({ waiting, upTo }: Position): string =>
  waiting.find(({ before }) => before !== null)?.before ?? upTo

/** What was read and the revision under which it may be written. */
export type Stored<T> = { value: T | null; revision: number }

/** Every method throws `log-unavailable`, those that write `log-full`. */
export type WebhookStore = {
  /** Newest first, those that are over left out; none where they are lost. */
  secrets(id: string, now: number): Promise<Secret[]>
  /** Where it has secrets already, these stay. Resolves to the newest. */
  createSecret(id: string, secret: string): Promise<string>
  /** Those before sign for so many more seconds at most. */
  rotateSecret(id: string, secret: string, overlap: { now: number; seconds: number }): Promise<void>
  /** null: lost, or not readable by this version. */
  position(id: string): Promise<Stored<Position>>
  /** null: somebody else has written since. Else the new revision. */
  writePosition(id: string, position: Position, expected: number): Promise<number | null>
  parked(id: string): Promise<ParkedDelivery[]>
  /** What `change` makes of it, also where others write at the same time. */
  changeParked(id: string, change: (parked: ParkedDelivery[]) => ParkedDelivery[]): Promise<ParkedDelivery[]>
  /** All of it. */
  forget(id: string): Promise<void>
}

/** A new secret: 24 random bytes. */
export const newSecret = (): string => `whsec_${randomBytes(24).toString('base64')}`

const TRIES = 10
/** Each is a signature in every delivery. */
const MOST_SECRETS = 5

export function webhookStore(broker: Broker): WebhookStore {
  const secrets = openKeyValue(broker, broker.names.webhookSecrets)
  const positions = openKeyValue(broker, broker.names.webhookPositions)
  const secretsIn = listIn(secrets, secretSchema)
  const parkedIn = listIn(positions, parkedSchema)
  return {
    async secrets(id, now) {
      const { value } = await secretsIn.read(id)
      return (value ?? []).filter(({ until }) => until === null || until > now)
    },
    async createSecret(id, secret) {
      const there = await secretsIn.change(id, (known) => (known.length > 0 ? known : [{ secret, until: null }]))
      return there[0]?.secret ?? secret
    },
    async rotateSecret(id, secret, { now, seconds }) {
      const end = now + seconds * 1_000
      await secretsIn.change(id, (known) => {
        const before = known
          .map((one) => ({ secret: one.secret, until: Math.min(one.until ?? end, end) }))
          .filter((one) => one.secret !== secret && one.until > now)
        return [{ secret, until: null }, ...before].slice(0, MOST_SECRETS)
      })
    },
    async position(id) {
      const { value, revision } = await positions.get(`position.${id}`)
      return { value: positionSchema.safeParse(value).data ?? null, revision }
    },
    writePosition: (id, position, expected) => positions.put(`position.${id}`, position, expected),
    parked: async (id) => (await parkedIn.read(`parked.${id}`)).value ?? [],
    changeParked: (id, change) => parkedIn.change(`parked.${id}`, change),
    async forget(id) {
      await Promise.all([secrets.remove(id), positions.remove(`position.${id}`), positions.remove(`parked.${id}`)])
    },
  }
}

/** Keys whose values are lists. */
function listIn<T>(bucket: KeyValue, item: z.ZodType<T>) {
  const schema = z.array(item)
  const read = async (key: string): Promise<Stored<T[]>> => {
    const { value, revision } = await bucket.get(key)
    return { value: schema.safeParse(value).data ?? null, revision }
  }
  return {
    read,
    async change(key: string, change: (list: T[]) => T[]): Promise<T[]> {
      for (let tries = 0; tries < TRIES; tries++) {
        const { value, revision } = await read(key)
        const list = value ?? []
        const changed = change(list)
        if (changed === list || (await bucket.put(key, changed, revision)) !== null) return changed
      }
      throw new FaafoError('log-unavailable', `cannot write ${key}: it kept changing; try again`)
    },
  }
}
