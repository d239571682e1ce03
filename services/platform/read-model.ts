import { pgSchema } from 'drizzle-orm/pg-core'
import { fractal, fractalColumns } from './schema.ts'

/**
 * What the projection makes of the log. It grows whenever the same log leads to other rows: a projector that finds
 * rows of an older version builds the read model anew, beside the one that is served.
 */
export const PROJECTION_VERSION = 1

/** One copy of the read model: its table, and the name under which its checkpoint stands. */
export type ReadModel = { projection: string; table: typeof fractal }

/** Schemas beside the one that is served. */
export const NEXT_SCHEMA = 'faafo_next'
export const PREVIOUS_SCHEMA = 'faafo_previous'

/** The one that is served. */
export const liveModel: ReadModel = { projection: 'fractal', table: fractal }

/** The one that is being built and is to take over. */
export const nextModel: ReadModel = {
  projection: 'fractal-next',
  table: pgSchema(NEXT_SCHEMA).table('fractal', fractalColumns()) as unknown as typeof fractal,
}

/** The one that was served before: it is kept until the next takes over. */
export const previousModel: ReadModel = {
  projection: 'fractal-previous',
  table: pgSchema(PREVIOUS_SCHEMA).table('fractal', fractalColumns()) as unknown as typeof fractal,
}
