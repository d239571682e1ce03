import { idPrefixOf, parseCursor } from '../../events/cursor.ts'
import { isFaafoError } from '../../events/errors.ts'
import type { Pauser, Webhook } from '../../events/webhook.ts'
import type { Log } from '../platform/log.ts'
import { type LogPosition, startOfLog, verifyPosition } from '../platform/log-reader.ts'
import type { Logger } from '../platform/logger.ts'
import {
  type ParkedDelivery,
  type Position,
  positionFrom,
  type Secret,
  type Waiting,
  type WebhookStore,
} from '../platform/webhook-store.ts'

export type BeginParts = { store: WebhookStore; log: Log; logger: Logger; me: string }

/** Where a webhook goes on, which from then on only we may write; or why it cannot. */
export type Begun = { position: Position; revision: number; from: LogPosition; secrets: Secret[] }
export type Unfit = { reason: string; by: Pauser }

/**
 * Takes a webhook over where it stands, with what was asked for since done: to begin elsewhere, to try again what waits
 * or is parked. null: somebody else wrote at the same time. Throws `log-unavailable`, `log-full`.
 */
export async function begin({ store, log, logger, me }: BeginParts, webhook: Webhook): Promise<Begun | Unfit | null> {
  const { id, start, resumed, version } = webhook
  const [secrets, stored, parked] = await Promise.all([
    store.secrets(id, Date.now()),
    store.position(id),
    store.parked(id),
  ])
  if (!stored.value) return lost('what says how far it had come is lost')
  if (secrets.length === 0) return { reason: 'its secrets are lost: rotate-secret makes a new one', by: 'delivery' }

  const known = stored.value
  const isNew = known.start < start.version || known.by === '' // nobody has delivered from there yet
  const from = logPositionOf(isNew ? start.after : known.upTo)
  const replaced = await objectionOf(log, from)
  if (replaced) return lost(replaced)
  const isAhead = ({ seq }: { seq: number }) => isNew && seq > from.seq // it comes again by itself
  let position = known
  if (isNew) {
    const isSameLog = known.waiting.length > 0 && !(await objectionOf(log, logPositionOf(known.upTo)))
    const stay = isSameLog ? known.waiting.filter((one) => !isAhead(one)) : []
    const { handled, notBefore } = known
    position = { ...positionFrom(start), handled, notBefore, waiting: stay.map((one) => ({ ...one, before: null })) }
  }
  const wanted = parked.filter((one) => !isAhead(one) && isAskedFor(webhook, one, known.handled))
  const there = await Promise.all(wanted.map((one) => isInLog(log, one)))
  const asked = wanted.filter((_, i) => there[i])
  const gone = wanted.filter((_, i) => !there[i])
  const waiting = [...position.waiting, ...asked.filter(notAmong(position.waiting)).map(again)]
  const isResumed = resumed > known.handled
  const next: Position = {
    ...position,
    by: me,
    handled: version,
    waiting: (isResumed ? waiting.map(anew) : waiting).sort((a, b) => a.seq - b.seq),
    failingSince: isResumed ? null : position.failingSince,
    notBefore: isResumed ? 0 : position.notBefore,
  }
  const revision = await store.writePosition(id, next, stored.revision)
  if (revision === null) return null
  for (const { cursor } of gone) logger.warn({ webhook: id, cursor }, 'parked delivery dropped, the log is another one')
  const stays = (one: ParkedDelivery) => !isAhead(one) && notAmong([...next.waiting, ...gone])(one)
  if (!parked.every(stays)) await store.changeParked(id, (list) => list.filter(stays))
  return { position: next, revision, from, secrets }
}

/** Why the log is not the one of that position, where it is not. */
async function objectionOf(log: Log, position: LogPosition): Promise<string | null> {
  try {
    await verifyPosition(log, position)
    return null
  } catch (error) {
    if (isFaafoError(error, 'log-replaced')) return error.message
    throw error
  }
}

async function isInLog(log: Log, { seq, cursor }: ParkedDelivery): Promise<boolean> {
  const message = await log.messageAt(seq)
  const { idPrefix } = parseCursor(cursor)
  return message !== null && (idPrefix === null || idPrefixOf(message.id) === idPrefix)
}

const lost = (what: string): Unfit => ({
  reason: `${what}: resume has it begin with what comes from now on, replay from where you say`,
  by: 'positions-lost',
})

function logPositionOf(cursor: string): LogPosition {
  const { seq, idPrefix } = parseCursor(cursor)
  return { ...startOfLog, seq, id: idPrefix }
}

const isAskedFor = ({ retries }: Webhook, { cursor, uuid }: ParkedDelivery, handled: number): boolean =>
  retries.some(
    (asked) =>
      asked.version > handled &&
      (asked.cursors === null || asked.cursors.some((one) => parseCursor(one).seq === parseCursor(cursor).seq)) &&
      (asked.uuid === null || asked.uuid === uuid),
  )

const notAmong =
  (waiting: readonly { seq: number }[]) =>
  ({ seq }: ParkedDelivery): boolean =>
    waiting.every((one) => one.seq !== seq)

const untried = { tries: 0, since: 0, next: 0 }
const again = ({ seq, uuid }: ParkedDelivery): Waiting => ({ seq, uuid, before: null, ...untried })
const anew = (delivery: Waiting): Waiting => ({ ...delivery, ...untried })
