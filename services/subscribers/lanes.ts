import type { Waiting } from '../platform/webhook-store.ts'

/*
 * The deliveries of one webhook that are not done: a lane for each fractal, in the order of the log. Of a lane only the
 * first is ever on its way; the next one follows once it is done. What fails stays at the head of its lane until its next
 * try, and the other lanes go on.
 *
 * It knows no clock and does nothing itself. What `waiting` gives makes the same lanes again, with nothing on its way.
 */

export type Lanes = {
  /** How many are not done. */
  size(): number
  /** How many of them were not tried yet, those behind one that waits for its next try apart. */
  fresh(): number
  /** One more, after all others of its fractal; or, where it was passed already, at its place among them. */
  add(delivery: Waiting): void
  /** The next one that is to be sent, which is on its way from then on; null: none by now. */
  next(now: number): Waiting | null
  /** When the next try is due of those that wait for one; null: none does. */
  due(): number | null
  /** It was delivered, or given up. */
  done(delivery: Waiting): void
  /** It failed, and is tried again. */
  again(delivery: Waiting, trial: Pick<Waiting, 'tries' | 'since' | 'next'>): void
  /** It is not on its way any more, and nothing is known of it. */
  putBack(delivery: Waiting): void
  /** Those that wait for a next try are tried now. */
  hurry(): void
  /** All that are not done, in the order of the log. */
  waiting(): Waiting[]
}

export function createLanes(saved: readonly Waiting[]): Lanes {
  const lanes = new Map<string, Waiting[]>()
  /** Fractals whose head may be sent, those whose head waits for its time, and those whose head is on its way. */
  const ready = new Set<string>()
  const later = new Set<string>()
  const away = new Set<string>()
  let size = 0
  let fresh = 0
  /** How many that were not tried yet are behind each head that waits for its time, and behind all of them. */
  const behind = new Map<string, number>()
  let heldUp = 0

  const head = (uuid: string) => lanes.get(uuid)?.[0]
  const count = ({ tries }: Waiting, by: 1 | -1) => {
    size += by
    if (tries === 0) fresh += by
  }

  /** Has the head of a lane wait as it is to. */
  function place(uuid: string): void {
    ready.delete(uuid)
    later.delete(uuid)
    const first = head(uuid)
    if (first && !away.has(uuid)) (first.next > 0 ? later : ready).add(uuid)
    countBehind(uuid)
  }

  function countBehind(uuid: string): void {
    heldUp -= behind.get(uuid) ?? 0
    behind.delete(uuid)
    if (!later.has(uuid)) return
    const untried = lanes.get(uuid)?.filter(({ tries }) => tries === 0).length ?? 0
    behind.set(uuid, untried)
    heldUp += untried
  }

  function add(delivery: Waiting): void {
    const { uuid, seq } = delivery
    const lane = lanes.get(uuid) ?? []
    if (lane.some((one) => one.seq === seq)) return
    lanes.set(uuid, lane)
    const next = lane.findIndex((one) => one.seq > seq)
    const at = next < 0 ? lane.length : away.has(uuid) ? Math.max(1, next) : next
    lane.splice(at, 0, delivery)
    count(delivery, 1)
    place(uuid)
  }

  function replaceHead(uuid: string, delivery: Waiting | null): void {
    const lane = lanes.get(uuid) ?? []
    const [before] = lane.splice(0, 1, ...(delivery ? [delivery] : []))
    if (before) count(before, -1)
    if (delivery) count(delivery, 1)
    away.delete(uuid)
    if (lane.length === 0) lanes.delete(uuid)
    place(uuid)
  }

  for (const delivery of saved) add(delivery)

  return {
    size: () => size,
    fresh: () => fresh - heldUp,
    add,
    next(now) {
      for (const uuid of later) if ((head(uuid)?.next ?? 0) <= now) ready.add(uuid)
      const [uuid] = ready
      const first = uuid === undefined ? undefined : head(uuid)
      if (uuid === undefined || !first) return null
      ready.delete(uuid)
      later.delete(uuid)
      away.add(uuid)
      countBehind(uuid)
      return first
    },
    due() {
      let earliest: number | null = null
      for (const uuid of later) {
        const next = head(uuid)?.next ?? 0
        if (earliest === null || next < earliest) earliest = next
      }
      return earliest
    },
    done: ({ uuid }) => replaceHead(uuid, null),
    again: (delivery, trial) => replaceHead(delivery.uuid, { ...delivery, ...trial }),
    putBack({ uuid }) {
      away.delete(uuid)
      place(uuid)
    },
    hurry() {
      for (const uuid of [...later]) {
        const first = head(uuid)
        if (first) replaceHead(uuid, { ...first, next: 0 })
      }
    },
    waiting: () => [...lanes.values()].flat().sort((a, b) => a.seq - b.seq),
  }
}
