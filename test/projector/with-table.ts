import { sql } from 'drizzle-orm'
import { rebuild } from '../../services/projector/rebuild.ts'
import { withPostgres } from '../support/database.ts'
import { type Projection, withProjection } from './with-projection.ts'

export const withTable = (use: (projection: Projection) => Promise<void>) => withProjection(withPostgres, use)
export const signal: AbortSignal = new AbortController().signal

export const rebuildNow = (p: Projection, options: Partial<Parameters<typeof rebuild>[1]> = {}) =>
  rebuild(p.parts, { signal, ...options })

/** Schemas and tables that a rebuild made. */
export async function remains({ parts: { db } }: Projection): Promise<string[]> {
  const found = await db.execute<{ name: string }>(
    sql`select schemaname || '.' || tablename as name from pg_tables where schemaname like 'faafo%' order by 1`,
  )
  const checkpoints = await db.execute<{ projection: string }>(
    sql`select projection from projection_checkpoint order by 1`,
  )
  return [...found.map(({ name }) => name), ...checkpoints.map(({ projection }) => projection)]
}

/** What remains of one that took over. */
export const afterRebuild = [
  'faafo_previous.fractal',
  'faafo_previous.fractal_version',
  'faafo_previous.held_event',
  'fractal',
  'fractal-previous',
]
