import { asc } from 'drizzle-orm'
import { parseCursor } from '../../events/cursor.ts'
import type { NewEvent } from '../../events/events.ts'
import { parkedIdOf } from '../../events/parked.ts'
import { createLog } from '../../services/platform/log.ts'
import { heldEvent } from '../../services/platform/schema.ts'
import { parkEvent } from '../../services/replay/park-events.ts'
import { decodeAsNewer, NEWER } from '../support/newer-program.ts'
import { writeRaw } from '../support/write-raw.ts'
import type { Projection } from './with-projection.ts'

/* Events that only a newer program can read, and what is held back since they are parked. */

/** The same parts, as a program that is a version ahead has them. */
export const newer = ({ parts }: Projection) => ({ ...parts, log: createLog(parts.broker, decodeAsNewer) })

/** Places of the events that are held back, and whether each is parked: else it waits behind one that is. */
export const heldOf = async ({ parts: { db } }: Projection) =>
  (await db.select().from(heldEvent).orderBy(asc(heldEvent.seq))).map(({ seq, error }) => [seq, error !== null])

/** As no program of today writes it. */
export const writeNewer = async (p: Projection, event: NewEvent) =>
  parkedIdOf(await writeRaw(p.server.url, event, NEWER))

export const park = (p: Projection, id: string) => parkEvent(p.parts, parseCursor(id))

export const cancelled = (uuid: string): NewEvent => ({
  type: 'TaskCancelled',
  fractal: uuid,
  data: { generation: 1, reason: 'asked for' },
})
