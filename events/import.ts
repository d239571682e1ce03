import { z } from 'zod'
import type { Kind } from './aggregate.ts'

/*
 * The import of an exported log, told before its first event comes into this log and after its last:
 *
 *   ImportBegun ──▶ ImportFinished ──▶ ImportBegun …
 *
 * It begins anew where a finished one is done again and finds something that is not there (any more). Its id derives
 * from the export, so that an import which was killed is the same one when it is done again. Between the two, what was
 * requested may have an outcome that is still on its way, and nobody renders it.
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

/** Id of the import of an export: of the SHA-256, in hex, of its last line. */
export const importIdOf = (head: string): string => head.slice(0, 32)
