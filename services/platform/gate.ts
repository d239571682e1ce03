/** Lets so many go on at the same time; the others wait for their turn, in the order in which they came. */
export type Gate = <T>(work: () => Promise<T>) => Promise<T>

/** Whoever takes longer than `longestMs` does not count from then on, so that those who hang keep nobody out. */
export function createGate(most: number, longestMs = Number.POSITIVE_INFINITY): Gate {
  const waiting: (() => void)[] = []
  let inside = 0
  const leave = () => {
    const next = waiting.shift()
    if (next) next()
    else inside--
  }
  return async (work) => {
    if (inside >= most) await new Promise<void>((done) => waiting.push(done))
    else inside++
    let isCounted = true
    const leaveOnce = () => {
      if (isCounted) leave()
      isCounted = false
    }
    const timer = Number.isFinite(longestMs) ? setTimeout(leaveOnce, longestMs) : undefined
    try {
      return await work()
    } finally {
      clearTimeout(timer)
      leaveOnce()
    }
  }
}
