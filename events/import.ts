import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Kind } from './aggregate.ts'

/*
 * The import of a log that was exported, told before its first event comes into this log and after its last:
 *
 *   ImportBegun ──▶ ImportFinished ──▶ ImportBegun …
 *
 * It begins anew where a later export of that log is imported, or something that was here is gone. All exports of one
 * log are one import, so that one which was killed and given up is finished by whichever comes after it. Between the
 * two, what was requested may have an outcome that is still on its way, and nobody renders it.
 */

const count = z.int().min(0)

export const importKind = {
  name: 'import',
  schemas: {
    ImportBegun: z.object({
      /** Creation time of the log that was exported, and its first and last event in the export, as cursors. */
      log: z.string(),
      first: z.string().nullable(),
      last: z.string().nullable(),
      events: count,
    }),
    ImportFinished: z.object({ appended: count, duplicates: count, conflicts: count }),
  },
  schemaVersions: { ImportBegun: 1, ImportFinished: 1 },
  upcasters: {},
} satisfies Kind

/** Id of the import of a log, which its creation time tells from any other. */
export const importIdOf = (log: string): string => createHash('sha256').update(log).digest('hex').slice(0, 32)
