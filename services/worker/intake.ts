import { costOf } from '../../events/cost.ts'
import type { FractalParams } from '../../events/fractal.ts'
import { estimateIterations } from '../kernel/estimate.ts'
import { threadsOf } from './rendering.ts'

/*
 * How much work a worker takes in hand: what keeps its threads busy, and about a tenth of a second of expected work for
 * each of them to go on with, so that small tasks overlap their I/O and others are left to workers that are idle. What a
 * message costs is known only once it is here, so the size of an ask goes by what recent ones cost, and a task that then
 * does not fit is handed back at once.
 */

/** Most tasks in hand; also where they cost next to nothing. */
const mostHeld = (threads: number) => Math.max(64, 2 * threads)

/** Steps that one thread does in a tenth of a second, about. */
const STEPS_PER_THREAD = 1e8

/** Worst case up to which it is not worth a sample, which may be as large as the picture. */
const UNSAMPLED_STEPS = 2e6

/** `steps`: expected, a step being an iteration of a pixel. `threads`: how many of a worker's it keeps busy. */
export type Work = { steps: number; threads: number }

/** What a picture is to a worker of so many threads. Takes as long as an estimate. */
export const workOf = (params: FractalParams, threads: number): Work => ({
  steps: costOf(params) <= UNSAMPLED_STEPS ? costOf(params) : estimateIterations(params),
  threads: threadsOf(params, threads),
})

/** Share of the newest task in the average. */
const WEIGHT = 1 / 4

export type Load = {
  threads: number
  /** Tasks in hand. */
  held: number
  /** Threads that they keep busy; may be more than there are. */
  busy: number
  /** Steps of those that were taken when all threads were busy. */
  waiting: number
  /** Steps of a recent task. */
  averageSteps: number
}

/** What a task adds to the load for as long as it is in hand. */
export type Share = { busy: number; waiting: number }

export const noLoad = (threads: number): Load => ({
  threads,
  held: 0,
  busy: 0,
  waiting: 0,
  averageSteps: STEPS_PER_THREAD,
})

/** The load after a delivery, and the task's share of it; null where it is not to be taken in hand. */
export function offer(load: Load, { steps, threads }: Work): { load: Load; share: Share | null } {
  const next = { ...load, averageSteps: load.averageSteps + (steps - load.averageSteps) * WEIGHT }
  const isTaken =
    load.held < mostHeld(load.threads) && (hasIdleThread(load) || load.waiting + steps <= mostWaiting(load))
  if (!isTaken) return { load: next, share: null }
  const share = hasIdleThread(load) ? { busy: threads, waiting: 0 } : { busy: 0, waiting: steps }
  return {
    load: { ...next, held: load.held + 1, busy: load.busy + share.busy, waiting: load.waiting + share.waiting },
    share,
  }
}

/** The load once a task of that share has been settled. */
export const release = (load: Load, { busy, waiting }: Share): Load => ({
  ...load,
  held: load.held - 1,
  busy: load.busy - busy,
  waiting: load.waiting - waiting,
})

/** How many deliveries to ask for now. 0: none until tasks are settled, so that asks do not become many and small. */
export function askSize(load: Load): number {
  const isIdle = hasIdleThread(load)
  const toGoOnWith = Math.floor((mostWaiting(load) - load.waiting) / load.averageSteps)
  const ask = Math.min(mostHeld(load.threads) - load.held, (isIdle ? 1 : 0) + toGoOnWith)
  const isWorthAsking = isIdle || ask * 4 >= load.held + ask
  return isWorthAsking ? ask : 0
}

const hasIdleThread = ({ threads, busy }: Load) => busy < threads

const mostWaiting = ({ threads }: Load) => threads * STEPS_PER_THREAD
