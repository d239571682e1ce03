import { messageOf } from '../../events/errors.ts'
import type { KeyValue } from '../platform/key-value.ts'
import type { Logger } from '../platform/logger.ts'
import { pause } from '../platform/shutdown.ts'
import {
  claimed,
  nobody,
  partsOf,
  released,
  type Shares,
  sharesSchema,
  tooMany,
  withMember,
  withoutMember,
} from './shares.ts'

const KEY = 'shares'
const TURN_MS = 1_000
/** A member that does not count itself up for so long, by the clock of whoever looks, is gone. */
const GONE_MS = 7_000
/** One that could not for so long holds itself for gone: before the others do. */
const LOST_MS = 4_000
const TRIES = 5

export type MembershipParts = {
  keyValue: KeyValue
  me: string
  logger: Logger
  /** Has the webhooks of these parts delivered, and of no others. Resolves once none of the others is under way any more. */
  hold(parts: ReadonlySet<number>, how: { atOnce: boolean }): Promise<void>
}

/** Takes its share of the webhooks until `stop` fires, and then leaves it to others. */
export async function runMembership(parts: MembershipParts, stop: AbortSignal): Promise<void> {
  const { keyValue, me, logger, hold } = parts
  const seen = new Map<string, { beat: number; at: number }>()
  let writtenAt = performance.now()
  let held = ''
  let failing = false

  function goneOf({ members }: Shares): Set<string> {
    const now = performance.now()
    for (const id of seen.keys()) if (!(id in members)) seen.delete(id)
    for (const [id, beat] of Object.entries(members)) if (seen.get(id)?.beat !== beat) seen.set(id, { beat, at: now })
    return new Set([...seen].filter(([, { at }]) => now - at > GONE_MS).map(([id]) => id))
  }

  async function read(): Promise<{ shares: Shares; revision: number }> {
    const { value, revision } = await keyValue.get(KEY)
    return { shares: sharesSchema.safeParse(value).data ?? nobody, revision }
  }

  async function turn(): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      const { shares, revision } = await read()
      let next = withMember(shares, me, goneOf(shares))
      const extra = tooMany(next, me)
      if (extra.length > 0) {
        // What is in hand there has some seconds to end: in between we say that we live.
        const kept = partsOf(shares, me).filter((part) => !extra.includes(part))
        await hold(new Set(kept), { atOnce: true })
        next = released(next, me, extra)
      }
      next = claimed(next, me)
      const written = await keyValue.put(KEY, next, revision)
      if (written === null) continue
      writtenAt = performance.now()
      const mine = partsOf(next, me)
      if (held !== mine.join())
        logger.info({ parts: mine.length, members: Object.keys(next.members).length }, 'share taken')
      held = mine.join()
      await hold(new Set(mine), { atOnce: true })
      return
    }
  }

  while (!stop.aborted) {
    try {
      await turn()
      failing = false
    } catch (error) {
      if (!failing) logger.warn({ reason: messageOf(error) }, 'share not confirmed')
      failing = true
      if (performance.now() - writtenAt > LOST_MS) {
        held = ''
        await hold(new Set(), { atOnce: true })
      }
    }
    await pause(TURN_MS, stop)
  }
  await hold(new Set(), { atOnce: false })
  for (let tries = 0; tries < TRIES; tries++) {
    const { shares, revision } = await read()
    if ((await keyValue.put(KEY, withoutMember(shares, me), revision)) !== null) return
  }
}
