import { v4 } from 'uuid'
import { z } from 'zod'
import type { AggregateEvent, Kind } from '../../events/aggregate.ts'

/** An aggregate for tests, whose second version of CounterRaised says by how much. It has the name of a real kind. */
export const counter = {
  name: 'operation',
  schemas: { CounterMade: z.object({}), CounterRaised: z.object({ by: z.int() }) },
  schemaVersions: { CounterMade: 1, CounterRaised: 2 },
  upcasters: { CounterRaised: { 1: () => ({ by: 1 }) } },
} satisfies Kind

export const raised = (aggregate: string, version: number, by = 1): AggregateEvent<typeof counter> => ({
  ...{ type: 'CounterRaised', aggregate, version, data: { by } },
  ...{ id: v4(), source: '/test', time: new Date().toISOString() },
})
