import type { RecordedAggregateEvent } from '../../events/aggregate.ts'
import { importKind } from '../../events/import.ts'
import { aggregatesOf } from './aggregates.ts'
import type { Broker } from './broker.ts'

/** The imports into this log, for whoever has to wait for their end. */
export type Imports = {
  /** No as well where nothing was recorded of it: it is recorded before its first event. Throws `log-unavailable`. */
  isOver(id: string): Promise<boolean>
}

export function openImports(broker: Broker): Imports {
  const imports = aggregatesOf(broker, importKind)
  const known = new Map<string, RecordedAggregateEvent<typeof importKind>>()
  return {
    async isOver(id) {
      for (;;) {
        const last = known.get(id)
        const next = await imports.read(id, (last?.version ?? 0) + 1)
        if (!next) return last?.type === 'ImportFinished'
        known.set(id, next)
      }
    },
  }
}
