import { costOf, type FractalParams } from '../../events/fractal.ts'
import { estimateIterations } from '../kernel/estimate.ts'

/*
 * How much work a worker takes in hand: about a tenth of a second of what is expected for each render thread, so that
 * small tasks overlap their I/O and others are left to workers that are idle; at least one task for each thread and at
 * most MAX_HELD. What a message costs is known only once it is here, so the size of an ask goes by what recent ones
 * cost, and a task that then does not fit is handed back at once.
 */

export const MAX_HELD = 64

/** Steps that one thread does in a tenth of a second, about. */
const STEPS_PER_THREAD = 1e8

/** Worst case up to which it is not worth a sample, which may be as large as the picture. */
const UNSAMPLED_STEPS = 2e6

/** The steps to expect of a picture, a step being an iteration of a pixel. Takes some 20 ms at most, seldom more. */
export const stepsOf = (params: FractalParams): number =>
  costOf(params) <= UNSAMPLED_STEPS ? costOf(params) : estimateIterations(params)

/** Share of the newest task in the average. */
const WEIGHT = 1 / 4

export type Load = {
  threads: number
  /** Tasks in hand. */
  held: number
  /** Their steps together. */
  cost: number
  /** Steps of a recent task. */
  averageCost: number
}

export const noLoad = (threads: number): Load => ({ threads, held: 0, cost: 0, averageCost: STEPS_PER_THREAD })

/** The load after a delivery that costs `cost`, and whether it was taken in hand. */
export function offer(load: Load, cost: number): { load: Load; taken: boolean } {
  const averageCost = load.averageCost + (cost - load.averageCost) * WEIGHT
  const fits = load.cost + cost <= load.threads * STEPS_PER_THREAD && load.held < MAX_HELD
  if (!fits && idleThreads(load) === 0) return { load: { ...load, averageCost }, taken: false }
  return { load: { ...load, averageCost, held: load.held + 1, cost: load.cost + cost }, taken: true }
}

/** The load once a task of that cost has been settled. */
export const release = (load: Load, cost: number): Load => ({ ...load, held: load.held - 1, cost: load.cost - cost })

/** How many deliveries to ask for now. 0: none until tasks are settled, so that asks do not become many and small. */
export function askSize(load: Load): number {
  const idle = idleThreads(load)
  const byCost = Math.floor((load.threads * STEPS_PER_THREAD - load.cost) / load.averageCost)
  const ask = Math.min(MAX_HELD - load.held, Math.max(idle, byCost))
  const isWorthAsking = idle > 0 || ask * 4 >= load.held + ask
  return isWorthAsking ? ask : 0
}

const idleThreads = ({ threads, held }: Load) => Math.max(0, Math.min(threads, MAX_HELD) - held)
