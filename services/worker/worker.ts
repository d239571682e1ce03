import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { hostname } from 'node:os'
import { isFaafoError } from '../../events/errors.ts'
import type { RecordedEvent } from '../../events/events.ts'
import type { Broker } from '../platform/broker.ts'
import { VERSION } from '../platform/identity.ts'
import { openImports } from '../platform/imports.ts'
import type { Log } from '../platform/log.ts'
import type { Logger } from '../platform/logger.ts'
import { isDropped, parkedEvents } from '../platform/parked-events.ts'
import { announce, PRESENCE_MS, type WorkerPresence } from '../platform/presence.ts'
import { ACK_WAIT_MS } from '../platform/queue-consumer.ts'
import { answerRollCall } from '../platform/roll-call.ts'
import { pause } from '../platform/shutdown.ts'
import type { Delivery, RenderQueue } from '../platform/work-queue.ts'
import type { ImageStore } from '../storage/image-store.ts'
import { attemptLog, type Request } from './attempt-log.ts'
import { importedTasks } from './imported.ts'
import { askSize, noLoad, offer, release, workOf } from './intake.ts'
import { renderIsolated } from './isolated.ts'
import type { Renderer } from './rendering.ts'
import { runTask, type Settlement } from './task-run.ts'
import { watchTrouble } from './trouble.ts'

const WORKING_MS = Math.floor(ACK_WAIT_MS / 3)
/** How long renders in hand may go on once the worker is to stop. */
const GRACE_MS = 3_000
const ASK_AGAIN_MS = 250
/** So long it then waits. */
const UNREADABLE_MS = 30_000

/** A request that repeats one which the log lost waits so long for us to give that up. */
const AFTER_LOST_MS = 1_000

export type WorkerParts = {
  broker: Broker
  log: Log
  queue: RenderQueue
  images: ImageStore
  render: Renderer
  threads: number
  /** What `generatedBy` says. */
  name: string
  logger: Logger
  graceMs?: number
}

/**
 * Takes tasks from the queue, renders them and records what came of them, until `stop` fires. Then nothing more is
 * taken, renders in hand have `graceMs` to end, and what is left is handed back to other workers, uncounted.
 */
export async function runWorker(parts: WorkerParts, stop: AbortSignal): Promise<void> {
  const { broker, log, queue, images, render, threads, name, logger, graceMs = GRACE_MS } = parts
  const id = randomUUID()
  const handBack = new AbortController()
  setMaxListeners(0, handBack.signal) // every task listens
  const trouble = watchTrouble({
    check: async () => {
      await images.check()
      await log.head()
    },
    logger,
    signal: handBack.signal,
  })
  const parked = parkedEvents(broker)
  const attempts = attemptLog({ log, broker, worker: name, trouble, signal: handBack.signal })
  const settleImported = importedTasks({ attempts, imports: openImports(broker), logger })
  const taskParts = {
    attempts,
    images,
    trouble,
    render,
    renderIsolated,
    isolation: oneAfterTheOther(),
    worker: name,
    logger,
    announce: (uuid: string, progress: { generation: number; done: number; total: number }) =>
      announce(broker, broker.names.progress(uuid), progress),
  }

  /** By `<uuid>.<generation>`; the newest delivery is the one to be settled. */
  const inHand = new Map<string, { request: Request; delivery: Delivery }>()
  let load = noLoad(threads)
  let wake = () => {}
  const released = () =>
    new Promise<void>((done) => {
      wake = done
    })

  function settle(delivery: Delivery, settlement: Settlement): void {
    if (settlement.type === 'ack') delivery.ack()
    else delivery.nak(settlement.delayMs)
  }

  /** A message that this version cannot read: it waits for a newer worker, unless it was dropped. */
  async function putAside(delivery: Delivery, error: unknown): Promise<void> {
    const dropped = await isDropped(parked, error).catch(() => false)
    if (!dropped) logger.error({ err: error }, 'task cannot be read')
    settle(delivery, dropped ? { type: 'ack' } : { type: 'nak', delayMs: UNREADABLE_MS })
  }

  /** Resolves once the task is in hand, or not ours any more. */
  async function take(delivery: Delivery): Promise<void> {
    let request: RecordedEvent
    try {
      request = delivery.event()
    } catch (error) {
      return putAside(delivery, error)
    }
    if (request.type !== 'TaskRequested') {
      // The log lost its end, and another event has the place of a request that was delivered before.
      settle(delivery, { type: 'ack' })
      return
    }
    const early = request.importid === undefined ? null : await settleImported(request, request.importid)
    if (early) {
      settle(delivery, early)
      return
    }
    const key = `${request.fractal}.${request.data.generation}`
    const known = inHand.get(key)
    if (known) {
      if (known.request.id === request.id) known.delivery = delivery
      else settle(delivery, { type: 'nak', delayMs: AFTER_LOST_MS })
      return
    }
    if (stop.aborted || trouble.reason() !== null) {
      settle(delivery, { type: 'nak', delayMs: 0 })
      return
    }
    const { load: loaded, share } = offer(load, workOf(request.data.params, threads))
    load = loaded
    if (!share) {
      settle(delivery, { type: 'nak', delayMs: 0 })
      return
    }
    const task = { request, delivery }
    inHand.set(key, task)
    void runTask(
      { request, fresh: !delivery.redelivered && request.importid === undefined, signal: handBack.signal },
      taskParts,
    ).then((settlement) => {
      settle(task.delivery, settlement)
      inHand.delete(key)
      load = release(load, share)
      wake()
    })
  }

  async function intake(): Promise<void> {
    while (!stop.aborted) {
      try {
        await trouble.over(stop)
        const size = askSize(load)
        if (size === 0) await released()
        else {
          const taken: Promise<void>[] = []
          for await (const delivery of queue.ask(size, stop)) taken.push(take(delivery))
          await Promise.all(taken)
        }
      } catch (error) {
        if (stop.aborted) return
        if (!isFaafoError(error, 'log-unavailable')) logger.error({ err: error }, 'intake failed')
        await pause(ASK_AGAIN_MS, stop)
      }
    }
  }

  function presence(): WorkerPresence {
    const reason = trouble.reason()
    const state = stop.aborted ? 'stopping' : reason === null ? 'working' : 'blocked'
    const tasks = [...inHand.values()].map((task) => task.request.fractal)
    const presence = { id, name, host: hostname(), version: VERSION, threads, tasks, state } as const
    return reason === null ? presence : { ...presence, reason }
  }
  answerRollCall(broker, () => ({ service: 'worker', ...presence() }), stop)
  const present = () => announce(broker, broker.names.presence(id), presence())
  const working = () => {
    if (broker.isConnected()) for (const { delivery } of inHand.values()) delivery.working()
  }

  const onStop = () => {
    wake()
    present()
  }
  stop.addEventListener('abort', onStop, { once: true })
  const timers = [setInterval(present, PRESENCE_MS), setInterval(working, WORKING_MS)]
  present()
  try {
    await intake()
    const deadline = AbortSignal.timeout(graceMs)
    while (inHand.size > 0 && !deadline.aborted) {
      await Promise.race([released(), pause(graceMs, deadline)])
    }
    if (inHand.size > 0) logger.info({ tasks: inHand.size }, 'handing back')
    handBack.abort()
    while (inHand.size > 0) await released()
    present()
  } finally {
    for (const timer of timers) clearInterval(timer)
  }
}

function oneAfterTheOther(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const next = last.then(work)
    last = next.catch(() => {})
    return next
  }
}
