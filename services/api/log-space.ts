/** Remembers that the log was found full: nothing but an append can tell. */
export type LogSpace = {
  missed(reason: string): void
  found(): void
  /** The reason, for as long as it is fresh: a balancer that takes it for unready must come back and see. */
  problem(): string | null
}

const FRESH_MS = 15_000

export function createLogSpace(): LogSpace {
  let last: { reason: string; at: number } | null = null
  return {
    missed: (reason) => {
      last = { reason, at: Date.now() }
    },
    found: () => {
      last = null
    },
    problem: () => (last && Date.now() - last.at < FRESH_MS ? last.reason : null),
  }
}
