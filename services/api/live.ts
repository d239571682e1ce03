import type { Fractal } from '../../events/task.ts'
import type { Broker } from '../platform/broker.ts'
import { listen, PRESENCE_GONE_MS, type RenderProgress, type WorkerPresence } from '../platform/presence.ts'

/** What was heard over core NATS: never complete, never relied upon. */
export type Live = {
  /** Those heard of lately, by name. */
  workers(): WorkerPresence[]
  /** Share of the picture that is done, 0 to 1, while it renders; else null. */
  progressOf(fractal: Fractal): number | null
  /** Calls back whenever something is heard of its render; returns the function that ends that. */
  onProgress(uuid: string, listener: () => void): () => void
}

/** Those heard of last. Which of them are over this does not know: what is shown may be an older state. */
const MOST_RENDERS = 10_000

/** Listens until the broker's connection is closed. */
export function followLive(broker: Broker): Live {
  const workers = new Map<string, { heardAt: number; presence: WorkerPresence }>()
  const renders = new Map<string, RenderProgress>()
  const listeners = new Map<string, Set<() => void>>()

  const closed = () => {} // before it was open; the broker itself says why
  listen<WorkerPresence>(broker, broker.names.presence('*'), (presence) => {
    if (presence.state === 'stopping') workers.delete(presence.id)
    else workers.set(presence.id, { heardAt: Date.now(), presence })
  }).catch(closed)
  listen<RenderProgress>(broker, broker.names.progress('*'), (progress, subject) => {
    const uuid = subject.slice(subject.lastIndexOf('.') + 1)
    renders.delete(uuid)
    renders.set(uuid, progress)
    const [oldest] = renders.keys()
    if (renders.size > MOST_RENDERS && oldest !== undefined) renders.delete(oldest)
    for (const tell of listeners.get(uuid) ?? []) tell()
  }).catch(closed)

  return {
    workers() {
      const since = Date.now() - PRESENCE_GONE_MS
      for (const [id, { heardAt }] of workers) if (heardAt < since) workers.delete(id)
      return [...workers.values()].map((w) => w.presence).sort((a, b) => (a.name < b.name ? -1 : 1))
    },
    progressOf(fractal) {
      if (fractal.status !== 'rendering') return null
      const render = renders.get(fractal.uuid)
      if (!render || render.generation !== fractal.generation || !(render.total > 0)) return 0
      return Math.min(1, Math.max(0, render.done / render.total))
    },
    onProgress(uuid, listener) {
      const ofUuid = listeners.get(uuid) ?? new Set()
      listeners.set(uuid, ofUuid.add(listener))
      return () => {
        ofUuid.delete(listener)
        if (ofUuid.size === 0) listeners.delete(uuid)
      }
    },
  }
}
