import { type FaafoError, isFaafoError, messageOf } from '../../../events/errors.ts'

/** What is looked at, in the order in which it is told. */
export type CheckName =
  | 'broker'
  | 'durability'
  | 'broker-storage'
  | 'stream'
  | 'stream-config'
  | 'stream-replicas'
  | 'database'
  | 'log-identity'
  | 'log-end'
  | 'checkpoint'
  | 'projector'
  | 'parked'
  | 'leftovers'
  | 'queue'
  | 'queue-config'
  | 'queue-position'
  | 'queue-flow'
  | 'workers'
  | 'requests'
  | 'imports'
  | 'operation-queue'
  | 'operators'
  | 'operations'
  | 'webhooks'
  | 'storage'
  | 'orphan-images'
  | 'clocks'
  | 'data-disk'
  | 'image-disk'

export type Diagnosis = {
  check: CheckName
  /** `skipped`: it could not be looked at, for a reason that another check tells, or there was nothing to look at. */
  severity: 'ok' | 'warning' | 'wrong' | 'skipped'
  /** The fact or, where it is not as it has to be, what is wrong. */
  found: string
  /** The command that mends it, or what else to do; null where all is well. */
  remedy: string | null
}

/** A safe remedy: `what` it does, and how. What several checks ask for is done once. */
export type Mend = {
  kind: 'stream' | 'leftovers' | 'queue' | 'queue-anew' | 'operation-queue' | 'operation-queue-anew' | 'images'
  what: string
  carryOut(): Promise<void>
}

/** A diagnosis with the remedy that can be carried out at once, where there is one. */
export type Examined = Diagnosis & { mend?: Mend }

export const MEND = 'faafo replay doctor --mend'

export const ok = (check: CheckName, found: string): Examined => ({ check, severity: 'ok', found, remedy: null })

export const skipped = (check: CheckName, why: string): Examined => ({
  ...{ check, severity: 'skipped', remedy: null },
  found: `not looked at: ${why}`,
})

export const warning = (check: CheckName, found: string, remedy: string, mend?: Mend): Examined => ({
  ...{ check, severity: 'warning', found, remedy },
  ...(mend && { mend }),
})

export const wrong = (check: CheckName, found: string, remedy: string, mend?: Mend): Examined => ({
  ...{ check, severity: 'wrong', found, remedy },
  ...(mend && { mend }),
})

/** What another check tells already. */
const told: Partial<Record<FaafoError['code'], string>> = {
  'log-unavailable': 'the broker does not tell',
  'log-unsupported': 'the broker cannot be asked',
  unreachable: 'the broker cannot be asked',
  'database-unavailable': 'the database does not tell',
  'storage-unavailable': 'the storage does not tell',
}

/** A check that could not be made is a finding of its own, unless another one tells why. */
export function notMade(check: CheckName, error: unknown): Examined {
  const why = isFaafoError(error) ? told[error.code] : undefined
  if (why !== undefined) return skipped(check, `${why} (${messageOf(error)})`)
  return wrong(check, `it could not be looked at: ${messageOf(error)}`, 'look again once that is mended')
}
