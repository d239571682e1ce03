import { z } from 'zod'
import { uuidSchema } from '../../events/fractal.ts'
import { actions, operationStatuses } from '../../events/operation.ts'
import { filtersSchema, MOST_VALUES } from '../platform/q.ts'

/* Bulk operations as the api takes and shows them. */

const MOST_PER_SECOND = 1_000_000
const rateExpected = `expected a number above 0, up to ${MOST_PER_SECOND}`

const action = z.enum(actions)
const filters = filtersSchema.meta({
  description: `as in \`q\` of the list of fractals; all of them must hold, and an empty list means every fractal. Lists for \`in\` and \`not_in\` hold at most ${MOST_VALUES} values together`,
  example: [{ name: 'status', op: '==', val: 'failed' }],
})
const rate = z
  .number({ error: rateExpected })
  .positive({ error: rateExpected })
  .max(MOST_PER_SECOND, { error: rateExpected })
  .nullable()
  .meta({ description: 'fractals changed in a second, at most; null: as fast as can be' })

export const operationRequestSchema = z
  .strictObject({
    id: uuidSchema.optional().meta({ description: 'identifies the operation; chosen where it is left out' }),
    action,
    filters,
    rate: rate.default(null),
    dry_run: z.boolean().default(false).meta({ description: 'only say how many fractals match now' }),
  })
  .meta({ id: 'OperationRequest' })
export type OperationRequest = z.input<typeof operationRequestSchema>

export const operationObjectSchema = z
  .object({
    id: z.guid(),
    action,
    filters,
    rate,
    status: z.enum(operationStatuses).meta({
      description:
        'requested: no operator has begun yet; stopping: it is to end as cancelled; failed: `reason` says why',
    }),
    matched: z.int().nullable().meta({ description: 'fractals that matched when it began; null until then' }),
    counts: z
      .object({
        changed: z.int().meta({ description: 'by this operation' }),
        unchanged: z.int().meta({
          description: 'their state did not allow it, or they did not match any more once it was their turn',
        }),
        unreadable: z.int().meta({ description: 'a newer version wrote them, or events of theirs are parked' }),
      })
      .meta({ description: 'of the fractals dealt with so far, brought up to date about once a second' }),
    reason: z.string().nullable().meta({ description: 'why it failed' }),
    event_id: z.guid().meta({ description: 'the `causationid` of the events that it leads to' }),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    finished_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Operation' })
export type OperationObject = z.output<typeof operationObjectSchema>

export const dryRunSchema = z
  .object({
    dry_run: z.literal(true),
    action,
    filters,
    matched: z.int().meta({ description: 'fractals that match now' }),
  })
  .meta({ id: 'OperationDryRun' })
export type DryRun = z.output<typeof dryRunSchema>
