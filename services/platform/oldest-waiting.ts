import { asc, eq } from 'drizzle-orm'
import type { Db } from './database.ts'
import { fractal } from './schema.ts'

export type Waiting = { uuid: string; requestedAt: Date; seconds: number }

/** The oldest request that no worker has begun, as far as the table knows; null where there is none. */
export async function oldestWaiting(db: Db): Promise<Waiting | null> {
  const [row] = await db
    .select({ uuid: fractal.uuid, requestedAt: fractal.requestedAt })
    .from(fractal)
    .where(eq(fractal.status, 'requested'))
    .orderBy(asc(fractal.firstSeq))
    .limit(1)
  return row ? { ...row, seconds: Math.max(0, (Date.now() - row.requestedAt.getTime()) / 1000) } : null
}
