import { createHash } from 'node:crypto'
import { z } from 'zod'

/*
 * Which process delivers which webhooks. Webhooks fall into parts by their ids, and a table says who has which part;
 * all members write it, each with the revision that it read. A member counts itself up in it to show that it lives, and
 * gives up parts where others have less.
 */

export const PARTS = 64

export const sharesSchema = z.object({
  /** By id of the process. */
  members: z.record(z.string(), z.int()),
  owners: z.array(z.string().nullable()).length(PARTS),
})
export type Shares = z.output<typeof sharesSchema>

export const nobody: Shares = { members: {}, owners: Array<null>(PARTS).fill(null) }

export const partOf = (webhook: string): number => createHash('sha256').update(webhook).digest().readUInt32BE() % PARTS

export const partsOf = ({ owners }: Shares, member: string): number[] =>
  owners.flatMap((owner, part) => (owner === member ? [part] : []))

/** Without those who are gone, and with this one counted up. */
export function withMember({ members, owners }: Shares, me: string, gone: ReadonlySet<string>): Shares {
  const there = Object.entries(members).filter(([id]) => id !== me && !gone.has(id))
  const now: Shares['members'] = { ...Object.fromEntries(there), [me]: (members[me] ?? 0) + 1 }
  return { members: now, owners: owners.map((owner) => (owner !== null && owner in now ? owner : null)) }
}

/** How many a member has at most, so that all have about as many. */
const most = ({ members }: Shares) => Math.ceil(PARTS / Math.max(1, Object.keys(members).length))

/** The parts that a member has too many: to be ended, and then released. */
export const tooMany = (shares: Shares, me: string): number[] => partsOf(shares, me).slice(most(shares))

export const released = (shares: Shares, me: string, parts: readonly number[]): Shares => ({
  ...shares,
  owners: shares.owners.map((owner, part) => (owner === me && parts.includes(part) ? null : owner)),
})

/** Takes parts that nobody has, as many as are its share. */
export function claimed(shares: Shares, me: string): Shares {
  let room = most(shares) - partsOf(shares, me).length
  return { ...shares, owners: shares.owners.map((owner) => (owner === null && room-- > 0 ? me : owner)) }
}

export function withoutMember({ members, owners }: Shares, me: string): Shares {
  const { [me]: _, ...others } = members
  return { members: others, owners: owners.map((owner) => (owner === me ? null : owner)) }
}
