import { pause } from '../platform/shutdown.ts'

/** Which log positions the read model has reached, and how long a read waits for one. */
export type Freshness = {
  /** Notes that this api's clients know of the event at `seq`. */
  wrote(seq: number): void
  /** Resolves once all that was noted is projected, or after WAIT_MS all the same. */
  settled(): Promise<void>
  /** Whether the projection reached `seq`, waiting at most WAIT_MS for it. Throws what reading the checkpoint throws. */
  reached(seq: number): Promise<boolean>
  /** After the broker was away: its log may be an older copy, which never comes to what was noted. */
  reconnected(): Promise<void>
}

const WAIT_MS = 1_000
const POLL_MS = 10
const HEAD_AGAIN_MS = 250
/** How long a checkpoint that was read is believed: a log that was replaced sets it back. */
const BELIEVED_MS = 100

export type FreshnessSources = {
  /** Sequence of the projection's checkpoint. */
  readSeq: () => Promise<number>
  /** Sequence of the log's last event. */
  readHead: () => Promise<number>
  /** No while the log is away: own writes are not waited for then. */
  mayAdvance: () => boolean
}

/** One poller serves all waiting reads, and nothing is polled while none waits. */
export function createFreshness({ readSeq, readHead, mayAdvance }: FreshnessSources): Freshness {
  const waiting = new Set<{ seq: number; answer: (reached: boolean | Promise<never>) => void }>()
  let projected = 0
  let readAt = 0
  let written = 0
  let writtenLately = 0 // since the broker came back
  let polling = false

  async function poll() {
    polling = true
    while (waiting.size > 0) {
      try {
        projected = await readSeq()
        readAt = Date.now()
      } catch (error) {
        for (const { answer } of waiting) answer(Promise.reject(error))
        break
      }
      for (const { seq, answer } of waiting) if (seq <= projected) answer(true)
      if (waiting.size > 0) await pause(POLL_MS)
    }
    polling = false
  }

  const reached = (seq: number): Promise<boolean> => {
    if (seq <= projected && Date.now() - readAt < BELIEVED_MS) return Promise.resolve(true)
    return new Promise((done) => {
      const waiter = {
        seq,
        answer(is: boolean | Promise<never>) {
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
      writtenLately = Math.max(writtenLately, seq)
    },
    async settled() {
      if (written > 0 && mayAdvance()) await reached(written).catch(() => {}) // the query that follows says what is wrong
    },
    reached,
    async reconnected() {
      projected = 0
      writtenLately = 0
      while (mayAdvance()) {
        try {
          const head = await readHead()
          written = Math.max(writtenLately, Math.min(written, head))
          return
        } catch {
          await pause(HEAD_AGAIN_MS) // the stream comes up after its broker
        }
      }
    },
  }
}
