import { desc, eq } from 'drizzle-orm'
import { messageOf } from '../../../events/errors.ts'
import { querying } from '../../platform/database.ts'
import { fractal } from '../../platform/schema.ts'
import { type Examined, ok, wrong } from './diagnosis.ts'
import type { Patient } from './patient.ts'

/** So many of the newest images are looked for. */
const NEWEST = 5

/** Whether the storage answers, and is the one that the workers write to. */
export async function checkStorage(patient: Patient): Promise<Examined> {
  const { db, images, version } = patient
  if (images.kind === 'nats-object') await version() // a broker that is away is one fault, not two
  try {
    await images.has('0'.repeat(64))
  } catch (error) {
    return wrong('storage', messageOf(error), 'mend that, or set STORAGE_URL to that of the workers')
  }
  await patient.checkpoint()
  const rows = await querying('read the newest images', () =>
    db
      .select({ key: fractal.imageKey })
      .from(fractal)
      .where(eq(fractal.status, 'completed'))
      .orderBy(desc(fractal.firstSeq))
      .limit(NEWEST),
  )
  const there = await Promise.all(rows.map(({ key }) => images.has(key ?? '')))
  if (rows.length > 0 && !there.includes(true)) {
    const found = `none of the ${rows.length} newest images is there`
    return wrong('storage', found, 'set STORAGE_URL to that of the workers, or see faafo replay verify')
  }
  return ok('storage', rows.length === 0 ? 'it answers; no image is completed yet' : 'the newest images are there')
}
