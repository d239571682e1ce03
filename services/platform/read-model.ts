import { pgSchema } from 'drizzle-orm/pg-core'
import { fractal, fractalColumns, fractalVersion, heldColumns, heldEvent, versionColumns } from './schema.ts'

/**
 * What the projection makes of the log. It grows whenever the same log leads to other rows: a projector that finds
 * rows of an older version builds the read model anew, beside the one that is served.
 */
export const PROJECTION_VERSION = 2

/** The first version that keeps what was before: `fractal_version`. */
export const VERSION_WITH_HISTORY = 2

/** One copy of the read model: its tables, the schema that they stand in, and the name of its checkpoint. */
export type ReadModel = {
  projection: string
  schema: string
  table: typeof fractal
  versions: typeof fractalVersion
  held: typeof heldEvent
}

/** The one that is served. */
export const liveModel: ReadModel = {
  projection: 'fractal',
  schema: 'public',
  table: fractal,
  versions: fractalVersion,
  held: heldEvent,
}

function beside(name: string): ReadModel {
  const schema = pgSchema(`faafo_${name}`)
  return {
    projection: `fractal-${name}`,
    schema: schema.schemaName,
    table: schema.table('fractal', fractalColumns()) as unknown as typeof fractal,
    versions: schema.table('fractal_version', versionColumns()) as unknown as typeof fractalVersion,
    held: schema.table('held_event', heldColumns()) as unknown as typeof heldEvent,
  }
}

/** The one that is being built and is to take over. */
export const nextModel = beside('next')
/** One that is built to be compared with the one that is served, and dropped. */
export const checkModel = beside('check')
/** The one that was served before: it is kept until the next takes over. */
export const previousModel = beside('previous')
