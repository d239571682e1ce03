import { pgSchema } from 'drizzle-orm/pg-core'
import { fractal, fractalColumns } from './schema.ts'

/**
 * What the projection makes of the log. It grows whenever the same log leads to other rows: a projector that finds
 * rows of an older version builds the read model anew, beside the one that is served.
 */
export const PROJECTION_VERSION = 1

/** One copy of the read model: its table, the schema that it stands in, and the name of its checkpoint. */
export type ReadModel = { projection: string; schema: string; table: typeof fractal }

/** The one that is served. */
export const liveModel: ReadModel = { projection: 'fractal', schema: 'public', table: fractal }

const beside = (name: string): ReadModel => ({
  projection: `fractal-${name}`,
  schema: `faafo_${name}`,
  table: pgSchema(`faafo_${name}`).table('fractal', fractalColumns()) as unknown as typeof fractal,
})

/** The one that is being built and is to take over. */
export const nextModel = beside('next')
/** One that is built to be compared with the one that is served, and dropped. */
export const checkModel = beside('check')
/** The one that was served before: it is kept until the next takes over. */
export const previousModel = beside('previous')
