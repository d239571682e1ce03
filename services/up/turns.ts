/** One holder at a time, first come, first served. */
export type Turns = {
  /** false when the turn did not come within `waitMs` (for ever where that is left out) */
  take(waitMs?: number): Promise<boolean>
  give(): void
}

export function createTurns(): Turns {
  let held = false
  const waiting = new Set<() => void>()
  return {
    take(waitMs) {
      if (!held) {
        held = true
        return Promise.resolve(true)
      }
      return new Promise((done) => {
        const timer =
          waitMs === undefined
            ? undefined
            : setTimeout(() => {
                waiting.delete(granted)
                done(false)
              }, waitMs)
        const granted = () => {
          clearTimeout(timer)
          done(true)
        }
        waiting.add(granted)
      })
    },
    give() {
      const [next] = waiting
      if (next) {
        waiting.delete(next)
        next()
      } else held = false
    },
  }
}
