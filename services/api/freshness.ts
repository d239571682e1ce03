import { pause } from '../platform/shutdown.ts'

/** Which log positions the read model has reached, and how long a read waits for one. */
export type Freshness = {
  /** Notes that this api's clients know of the event at `seq`. */
  wrote(seq: number): void
  /** Resolves once all that was noted is projected, or after WAIT_MS all the same. */
  settled(): Promise<void>
  /** Whether the projection reached `seq`, waiting at most WAIT_MS for it. */
  reached(seq: number): Promise<boolean>
}

const WAIT_MS = 1_000
const POLL_MS = 10

/**
 * `readSeq` gives the sequence of the projection's checkpoint; one poller serves all waiting reads, and nothing is
 * polled while none waits. Where `mayAdvance` says no (the log is away), own writes are not waited for.
 */
export function createFreshness(readSeq: () => Promise<number>, mayAdvance: () => boolean): Freshness {
  const waiting = new Set<{ seq: number; answer: (reached: boolean) => void }>()
  let projected = 0
  let written = 0
  let polling = false

  async function poll() {
    polling = true
    while (waiting.size > 0) {
      try {
        projected = await readSeq()
      } catch {
        for (const { answer } of waiting) answer(false) // the query that follows says what is wrong
        break
      }
      for (const { seq, answer } of waiting) if (seq <= projected) answer(true)
      if (waiting.size > 0) await pause(POLL_MS)
    }
    polling = false
  }

  const reached = (seq: number): Promise<boolean> => {
    if (seq <= projected) return Promise.resolve(true)
    return new Promise((done) => {
      const waiter = {
        seq,
        answer(is: boolean) {
          clearTimeout(timer)
          waiting.delete(waiter)
          done(is)
        },
      }
      const timer = setTimeout(() => waiter.answer(false), WAIT_MS)
      waiting.add(waiter)
      if (!polling) void poll()
    })
  }

  return {
    wrote: (seq) => {
      written = Math.max(written, seq)
    },
    async settled() {
      if (mayAdvance()) await reached(written)
    },
    reached,
  }
}
